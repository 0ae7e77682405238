"""Code that all networks share: loading, pixels, activations, compiled blocks, stored tensors."""
