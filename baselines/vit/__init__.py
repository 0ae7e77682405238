"""Vision transformers as backbones; their card is read without torch."""
