"""Keypoints taken from source to target by the reading of CHM and TransforMatcher, with gradients."""

from __future__ import annotations

import torch
from torch import Tensor

from matchers.localizers.neighbours import Reach, transfer_points
from matchers.training.objective import Batch


def transferred_offsets(volumes: Tensor, batch: Batch, sigma: float, reach: Reach) -> list[Tensor]:
    """For each pair the offsets (N, 2) of transferred keypoints from the right ones; images are from -1 to 1.

    Args:
        volumes: (B, h, w, h', w').
        sigma: of the Gaussian kernel, in target cells.
    """
    half = batch.source.shape[-1] / 2
    pairs = zip(volumes, batch.source_points, batch.target_points, strict=True)
    return [
        transfer_points(volume, source / half - 1, sigma, reach) - (target / half - 1)
        for volume, source, target in pairs
    ]


def mean_of_pairs(per_point: list[Tensor]) -> Tensor:
    """Mean over pairs of means over their keypoints (N); pairs without any are left out."""
    means = [values.mean() for values in per_point if len(values)]
    if not means:
        raise ValueError("no pair of the batch has a keypoint that both pictures show")
    return torch.stack(means).mean()
