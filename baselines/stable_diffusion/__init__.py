"""Stable Diffusion as a backbone: text encoder, latents, U-Net read up to a block, and its card, which is read without torch."""
