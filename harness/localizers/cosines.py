"""Cosines of features at positions of two images, read as a localizer would read them."""

from __future__ import annotations

import torch
from torch import Tensor

from harness.localizers.similarity import Grid, sample
from harness.specs import FeatureMap, LocalizerSpec, Reading
from harness.specs.lengths import unit_features

_STEP = 4096
"""Positions whose features are held at once: 20 MiB of 1280 channels."""


def cosines(
    source: FeatureMap, target: FeatureMap, points: Tensor, positions: Tensor, localizer: LocalizerSpec
) -> Tensor:
    """Cosines of the features at points of the source with those at positions of the target.

    Both maps are sampled bilinearly, as they are; features are normalised after that. For a localizer that
    reads the patch a point falls into (`patch`), the source is read so, and the target between patches, too.

    Args:
        points: (N, 2) float64, original pixels of the source image; with N = 1, the one is compared with
            every position.
        positions: (M, 2) float64, original pixels of the target image; M = N unless N = 1.
        localizer: its `grid` holds where a map declares none, and its `reads` says what is read of a point.

    Returns:
        (M) float64 on the CPU, in [-1, 1].
    """
    queries = _features(source, points, localizer, localizer.reads).expand(len(positions), -1)
    reading: Reading = "pixel" if localizer.reads == "pixel" else "cell"
    steps = zip(queries.split(_STEP), positions.split(_STEP), strict=True)
    results = []
    for query, position in steps:
        # In double precision where one of the maps is.
        products = query * _features(target, position, localizer, reading)
        results.append(products.sum(1).double().cpu())
    # Rounding may take the cosine of equal features just beyond 1.
    return torch.cat(results).clamp(-1, 1)


def _features(feature_map: FeatureMap, points: Tensor, localizer: LocalizerSpec, reading: Reading) -> Tensor:
    """Features (N, C) of length 1 at original pixels (N, 2)."""
    grid = Grid(feature_map, localizer.grid)
    positions = {
        "cell": grid.positions,
        "pixel": grid.whole_pixel_positions,
        "patch": grid.patch_positions,
    }[reading](points)
    return unit_features(sample(grid.data, positions), 1)
