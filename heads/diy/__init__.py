"""DIY-SC: the aggregation network on DINOv2 alone or with Stable Diffusion, trained on pseudo-labels."""
