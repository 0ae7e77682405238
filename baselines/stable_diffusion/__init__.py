"""Stable Diffusion as a backbone; its card is read without torch."""
