"""What nearly every extractor does before and after its network."""

# ruff: noqa: TID253 - imported by extractors as they are made, never by `bench list`.

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import PIL.Image
import torch

from harness.frames import Frame, GridConvention, Size
from harness.specs import FeatureMap, ImageRequest


def stretched_batch(
    requests: Sequence[ImageRequest], size: tuple[int, int], resample: PIL.Image.Resampling = PIL.Image.Resampling.BILINEAR
) -> torch.Tensor:
    """The requests' pictures stretched to `size` (width, height) -> (N, 3, height, width) float32 RGB in [0, 1]."""
    pixels = np.stack([np.asarray(request.image.resize(size, resample)) for request in requests])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255


def stretched_maps(
    features: torch.Tensor, requests: Sequence[ImageRequest], size: tuple[int, int], grid: GridConvention | None = None
) -> list[FeatureMap]:
    """(N, C, h, w) features of pictures stretched to `size` (width, height) -> their feature maps.

    `grid` says how cells lie on the stretched picture's pixels; None leaves it to the localizer.
    """
    return [FeatureMap(one, Frame.stretched(request.size, Size(*size)), grid) for one, request in zip(features, requests, strict=True)]
