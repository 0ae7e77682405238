"""Vision Transformers (DINO, DINOv2) as backbones, and their cards, which are read without torch."""
