"""SFNet (Lee et al., CVPR 2019): adapted features of two levels, read by a kernel soft-argmax."""
