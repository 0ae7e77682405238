"""How similar a place in one image is to places in another: cosines of features, read where a localizer would read them."""

from __future__ import annotations

import torch
from torch import Tensor

from harness.frames import GridConvention, pixels_to_cells
from harness.localizers.original_resolution import pixel_cells
from harness.localizers.similarity import normalized, sample
from harness.specs import FeatureMap

_STEP = 4096
"""Places whose features are held at once: 20 MiB of 1280 channels."""


def cosines(source: FeatureMap, target: FeatureMap, points: Tensor, places: Tensor, localizer: str) -> Tensor:
    """Cosine of the features at points of the source with those at places of the target.

    Both maps are sampled bilinearly, as they are; features are normalised after that.

    Args:
        points: (N, 2) float64, original pixels of the source image; with N = 1, the one is compared with every place.
        places: (M, 2) float64, original pixels of the target image; M = N unless N = 1.
        localizer: name of the one whose reading of the pixels is used where a map declares no grid (see `harness.localizers.on_grid`).

    Returns:
        (M) float64 on the CPU, in [-1, 1].
    """
    queries = _features(source, points, localizer).expand(len(places), -1)
    parts = zip(queries.split(_STEP), places.split(_STEP), strict=True)
    return torch.cat(
        [(query * _features(target, some, localizer)).sum(1).double().cpu() for query, some in parts]
    ).clamp(-1, 1)


def _features(map_: FeatureMap, points: Tensor, localizer: str) -> Tensor:
    """Features (N, C) of length 1 at original pixels (N, 2)."""
    data = map_.data.float()
    return normalized(sample(data, _cells(map_, points, localizer).to(data.device)), 1)


def _cells(map_: FeatureMap, points: Tensor, localizer: str) -> Tensor:
    frame = map_.frame
    if localizer == "argmax-original":  # reads whole pixels
        x, y = (points[:, axis].floor().clamp(0, frame.original[axis] - 1) for axis in (0, 1))
        return torch.stack([pixel_cells(map_, x, 0), pixel_cells(map_, y, 1)], dim=1)
    default: GridConvention = "patch-centre" if localizer == "window-softmax" else "corner"
    return pixels_to_cells(frame.from_original(points), frame.size, map_.cells, map_.grid or default)
