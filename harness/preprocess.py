"""What nearly every extractor does before and after its network."""

# ruff: noqa: TID253 - imported by extractors as they are made, never by `bench list`.

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import PIL.Image
import torch

from harness.frames import Frame, GridConvention, Size, padded_content
from harness.specs import FeatureMap, ImageRequest


def stretched_batch(
    requests: Sequence[ImageRequest], size: tuple[int, int], resample: PIL.Image.Resampling = PIL.Image.Resampling.BILINEAR
) -> torch.Tensor:
    """The requests' pictures stretched to `size` (width, height) -> (N, 3, height, width) float32 RGB in [0, 1]."""
    pixels = np.stack([np.asarray(request.image.resize(size, resample)) for request in requests])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255


def padded_batch(
    requests: Sequence[ImageRequest], side: int, resample: PIL.Image.Resampling = PIL.Image.Resampling.LANCZOS
) -> torch.Tensor:
    """The requests' pictures in the frame of `Frame.padded`, on black -> (N, 3, side, side) float32 RGB in [0, 1] (SD+DINO)."""
    pixels = np.zeros((len(requests), side, side, 3), dtype=np.uint8)
    for square, request in zip(pixels, requests, strict=True):
        inner, (left, top) = padded_content(request.size, side), Frame.padded(request.size, side).offset
        square[int(top) :, int(left) :][: inner.height, : inner.width] = np.asarray(request.image.resize(inner, resample))
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255


def padded_maps(
    features: torch.Tensor, requests: Sequence[ImageRequest], side: int, grid: GridConvention | None = None
) -> list[FeatureMap]:
    """(N, C, h, w) features of pictures padded to a square of `side` pixels -> their feature maps.

    `grid` says how cells lie on the square's pixels; None leaves it to the localizer.
    """
    return [FeatureMap(one, Frame.padded(request.size, side), grid) for one, request in zip(features, requests, strict=True)]


def stretched_maps(
    features: torch.Tensor, requests: Sequence[ImageRequest], size: tuple[int, int], grid: GridConvention | None = None
) -> list[FeatureMap]:
    """(N, C, h, w) features of pictures stretched to `size` (width, height) -> their feature maps.

    `grid` says how cells lie on the stretched picture's pixels; None leaves it to the localizer.
    """
    return [FeatureMap(one, Frame.stretched(request.size, Size(*size)), grid) for one, request in zip(features, requests, strict=True)]
