"""CHM (CVPR 2021): votes of a correlation of two pictures at three scales, by a convolution in six axes."""
