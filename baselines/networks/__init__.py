"""Code that all networks share: quiet loading, conventions for pixels, activations read on the way, compiled blocks."""
