"""Formulas that several matchers share: normalisation, correlation, mutual filters, resizing, expectations.

Correlations are (..., h, w, h', w') or, with rows and columns flattened row by row, (..., S, T).
"""

from __future__ import annotations

import torch
from torch import Tensor

RELATIVE_EPSILON = 1e-5
"""Added to the maxima in NCNet's mutual filter."""

ZERO_MAXIMUM = 1e-30
"""Stands for a maximum of exactly 0 in DHPF's mutual filter."""


def normalize_features(features: Tensor, dim: int = 1) -> Tensor:
    """Features over sqrt(sum of squares + 1e-6), along their channels (NCNet's L2 norm)."""
    return features / (features.square().sum(dim, keepdim=True) + 1e-6).sqrt()


def normalize_exactly(features: Tensor, dim: int = 1) -> Tensor:
    """Features of length 1 along their channels, without a constant (CHM, TransforMatcher).

    Features of zeros stay zeros, where a division by their length would give no number.
    """
    length: Tensor = torch.linalg.vector_norm(features, dim=dim, keepdim=True)
    return features / length.masked_fill(length == 0, 1)


def correlate(source: Tensor, target: Tensor) -> Tensor:
    """Dot products (B, h, w, h', w') of maps (B, C, h, w) and (B, C, h', w')."""
    products = source.flatten(2).transpose(1, 2) @ target.flatten(2)
    return products.view(len(source), *source.shape[2:], *target.shape[2:])


def filter_mutually(correlation: Tensor, *, zero_maximum: bool = False) -> Tensor:
    """Correlations (..., S, T) weighted by how close each is to the best of its row and of its column.

    c (c / max over S) (c / max over T): soft mutual nearest neighbours (NCNet, section 3.3).

    Args:
        zero_maximum: False adds 1e-5 to the maxima (NCNet, PWarpC); True takes them as they are, and 1e-30
            for one of exactly 0 (DHPF, CHM, CATs, SCorrSAN).
    """
    best_source = correlation.amax(-2, keepdim=True)
    best_target = correlation.amax(-1, keepdim=True)
    if zero_maximum:
        best_source = best_source.masked_fill(best_source == 0, ZERO_MAXIMUM)
        best_target = best_target.masked_fill(best_target == 0, ZERO_MAXIMUM)
    else:
        best_source = best_source + RELATIVE_EPSILON
        best_target = best_target + RELATIVE_EPSILON
    return correlation * ((correlation / best_source) * (correlation / best_target))


def resize_volume(volume: Tensor, source: tuple[int, int], target: tuple[int, int]) -> Tensor:
    """Volumes (B, h, w, h', w') resized bilinearly, corners aligned, on their source and their target axes.

    Args:
        source, target: new (height, width) of either side.
    """
    batch, height, width, rows, columns = volume.shape
    by_target = volume.permute(0, 3, 4, 1, 2).reshape(batch, rows * columns, height, width)
    by_target = resize_corners(by_target, source)
    # Contiguous while it is small: the order of the larger result's numbers follows from it.
    by_source = by_target.view(batch, rows, columns, -1).permute(0, 3, 1, 2).contiguous()
    resized = resize_corners(by_source, target)
    return resized.view(batch, *source, *target)


def resize_corners(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps (B, C, h, w) resized bilinearly to (height, width), corners aligned, without antialiasing."""
    return torch.nn.functional.interpolate(maps, size, mode="bilinear", align_corners=True)


def unit_coordinates(count: int, like: Tensor) -> Tensor:
    """`count` positions from -1 to 1, corners included."""
    return torch.linspace(-1, 1, count, dtype=like.dtype, device=like.device)


def expected_positions(probability: Tensor) -> Tensor:
    """Means (..., 2) of (x, y) in -1..1, corners aligned, under probabilities (..., h, w)."""
    height, width = probability.shape[-2:]
    x = (probability.sum(-2) * unit_coordinates(width, probability)).sum(-1)
    y = (probability.sum(-1) * unit_coordinates(height, probability)).sum(-1)
    return torch.stack([x, y], dim=-1)


def weight_around_best(scores: Tensor, sigma: float) -> Tensor:
    """Scores (..., h, w) times a Gaussian of `sigma` cells around the best cell, not normalised (SFNet).

    The scores are multiplied and not their exponents: far cells go to 0, and keep weight under softmax.
    """
    height, width = scores.shape[-2:]
    # A constant for the gradient: it moves in whole cells.
    best = scores.detach().flatten(-2).argmax(-1)
    rows = torch.arange(height, dtype=scores.dtype, device=scores.device)
    columns = torch.arange(width, dtype=scores.dtype, device=scores.device)
    row = (best // width)[..., None].to(scores.dtype)
    column = (best % width)[..., None].to(scores.dtype)
    down = (-((rows - row).square()) / (2 * sigma**2)).exp()
    across = (-((columns - column).square()) / (2 * sigma**2)).exp()
    return scores * down[..., :, None] * across[..., None, :]
