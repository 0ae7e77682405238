"""Stable Diffusion as a backbone: text encoder, latents, the U-Net up to a block, and a card, which is read without torch."""
