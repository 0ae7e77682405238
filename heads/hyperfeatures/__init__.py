"""Diffusion Hyperfeatures: all of a U-Net's decoder at many timesteps, aggregated by a trained network."""
