"""Appearance of a pair: how alike the cells of both images are, over the levels that the pair takes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from matchers.formulas import resize_corners

NORM_EPSILON = 0.001
"""Added to the product of two features' norms."""

BLOCK = 512
"""Source cells whose similarities are computed at once: 7 MiB against 3,600 cells of the target."""


def stack_levels(levels: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
    """Features (C, cells) of maps (C_i, h_i, w_i), each resized to (height, width), corners aligned."""
    resized = [resize_corners(level[None], size)[0].flatten(1) for level in levels]
    return torch.cat(resized)


def appearance(source: Tensor, target: Tensor, source_norms: Tensor, target_norms: Tensor) -> Tensor:
    """Squares (S, T) of the rectified similarities of features (C, S) and (C, T).

    The similarity is the dot product over (norm x norm + 0.001): a cosine for features that are not short.

    Args:
        source_norms, target_norms: (S) and (T), of all channels.
    """
    products = source.T @ target
    norms = torch.outer(source_norms, target_norms)
    return (products / (norms + NORM_EPSILON)).relu().square()


def correlate_appearance(source: Tensor, target: Tensor) -> Tensor:
    """Appearance (S, T) of features (C, S) and (C, T), a block of source cells at a time."""
    source_norms, target_norms = (torch.linalg.vector_norm(features, dim=0) for features in (source, target))
    volume = source.new_empty(source.shape[1], target.shape[1])
    for start in range(0, len(volume), BLOCK):
        rows = slice(start, start + BLOCK)
        volume[rows] = appearance(source[:, rows], target, source_norms[rows], target_norms)
    return volume
