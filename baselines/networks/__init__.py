"""What all networks share: loading without noise, activations read on the way, blocks compiled."""
