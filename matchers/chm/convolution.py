"""Convolution over the four axes of a correlation."""

from __future__ import annotations

import torch
from torch import Tensor


def convolve(volume: Tensor, kernel: Tensor) -> Tensor:
    """Convolution (cross-correlation) with zeros around the volume, its size kept.

    Args:
        volume: (B, C, h, w, h', w').
        kernel: (C', C, k, k, k, k), k odd.

    Returns:
        (B, C', h, w, h', w').
    """
    batch, channels, height, *others = volume.shape
    side = kernel.shape[2]
    # The taps of the first axis become channels, and its rows pictures of a convolution in three axes.
    padded = torch.nn.functional.pad(volume, (0, 0) * 3 + (side // 2, side // 2))
    taps = padded.unfold(2, height, 1)  # (B, C, k, w, h', w', h)
    rows = taps.permute(0, 6, 1, 2, 3, 4, 5).reshape(batch * height, channels * side, *others)
    weights = kernel.reshape(len(kernel), channels * side, side, side, side)
    result = torch.nn.functional.conv3d(rows, weights, padding=side // 2)
    return result.view(batch, height, len(kernel), *others).transpose(1, 2)
