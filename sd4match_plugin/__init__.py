"""SD4Match (Li et al., CVPR 2024): prompt tuning of a frozen Stable Diffusion for semantic matching."""
