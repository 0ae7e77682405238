"""CATs: cosines of several levels of a ResNet, refined by a transformer that sees them from either side."""
