"""PMD (Li et al., CVPR 2021): SFNet with an attention over channels that sees both pictures."""
