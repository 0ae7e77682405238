"""Steps that nearly every extractor takes before and after its network.

Importing this module does not import torch, so that a plugin may do so at its top.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import PIL.Image

from harness.frames import Frame, GridConvention, Placement, Size, padded_content
from harness.specs import FeatureMap, ImageRequest, Prepare

if TYPE_CHECKING:
    import torch


def stretched(image: PIL.Image.Image, size: tuple[int, int], resample: PIL.Image.Resampling) -> torch.Tensor:
    """RGB picture, stretched to `size` (width, height) -> (height, width, 3) uint8."""
    import torch

    return torch.from_numpy(np.array(image.resize(size, resample)))


def padded(
    image: PIL.Image.Image, side: int, resample: PIL.Image.Resampling, place: Placement = "centre"
) -> torch.Tensor:
    """RGB picture in the frame of `Frame.padded`, on black -> (side, side, 3) uint8."""
    import torch

    size, pixels = Size(*image.size), np.zeros((side, side, 3), dtype=np.uint8)
    inner, (left, top) = padded_content(size, side), Frame.padded(size, side, place).offset
    pixels[int(top) :, int(left) :][: inner.height, : inner.width] = np.asarray(image.resize(inner, resample))
    return torch.from_numpy(pixels)


def prepared_batch(
    requests: Sequence[ImageRequest], prepare: Prepare, device: torch.device | str = "cpu"
) -> torch.Tensor:
    """Results of an extractor's `prepare`, made now or ahead -> (N, 3, height, width) float32 RGB in [0, 1].

    Args:
        prepare: picture -> (height, width, 3) uint8.
        device: device of the result; pixels go there as bytes, a quarter of their size as numbers.
    """
    import torch

    pixels = []
    for request in requests:
        prepared = prepare(request.image) if request.prepared is None else request.prepared
        pixels.append(prepared.to(device, non_blocking=True))
    return _numbers(torch.stack(pixels))


def stretched_batch(
    requests: Sequence[ImageRequest],
    size: tuple[int, int],
    resample: PIL.Image.Resampling = PIL.Image.Resampling.BILINEAR,
) -> torch.Tensor:
    """Pictures stretched to `size` (width, height) -> (N, 3, height, width) float32 RGB in [0, 1]."""
    import torch

    return _numbers(torch.stack([stretched(request.image, size, resample) for request in requests]))


def padded_batch(
    requests: Sequence[ImageRequest], side: int, resample: PIL.Image.Resampling = PIL.Image.Resampling.LANCZOS
) -> torch.Tensor:
    """Pictures as `Frame.padded` lays them on black (SD+DINO) -> (N, 3, side, side) float32 RGB in [0, 1]."""
    import torch

    return _numbers(torch.stack([padded(request.image, side, resample) for request in requests]))


def _numbers(pixels: torch.Tensor) -> torch.Tensor:
    """(N, height, width, 3) uint8 -> (N, 3, height, width) float32 in [0, 1]."""
    return pixels.permute(0, 3, 1, 2).float() / 255


def padded_maps(
    features: torch.Tensor,
    requests: Sequence[ImageRequest],
    side: int,
    grid: GridConvention | None = None,
    place: Placement = "centre",
) -> list[FeatureMap]:
    """(N, C, h, w) features of pictures padded to a square of `side` pixels -> their feature maps.

    `grid` says how cells lie on the square's pixels; None leaves it to the localizer.
    """
    return [
        FeatureMap(data, Frame.padded(request.size, side, place), grid)
        for data, request in zip(features, requests, strict=True)
    ]


def stretched_maps(
    features: torch.Tensor,
    requests: Sequence[ImageRequest],
    size: tuple[int, int],
    grid: GridConvention | None = None,
) -> list[FeatureMap]:
    """(N, C, h, w) features of pictures stretched to `size` (width, height) -> their feature maps.

    `grid` says how cells lie on the stretched picture's pixels; None leaves it to the localizer.
    """
    return [
        FeatureMap(data, Frame.stretched(request.size, Size(*size)), grid)
        for data, request in zip(features, requests, strict=True)
    ]


class StretchedExtractor:
    """An extractor of pictures that are stretched to one size, made of a function of a batch.

    Pictures are read ahead by worker processes where there are some (`bench run --workers`).

    Args:
        features: (N, 3, height, width) float32 RGB in [0, 1], on `device` -> (N, C, h, w) features, such as
            the output of a network's layer. What it returns for a picture must not depend on the others.
        size: width and height that pictures are stretched to; give `ExtractorSpec.image_size` the same.
        grid: how cells lie on the stretched picture's pixels; None leaves it to the localizer.
        device: a torch device name: `context.device`.
    """

    def __init__(
        self,
        features: Callable[[torch.Tensor], torch.Tensor],
        size: tuple[int, int],
        grid: GridConvention | None = None,
        device: str = "cpu",
        resample: PIL.Image.Resampling = PIL.Image.Resampling.BILINEAR,
    ) -> None:
        self.prepare = partial(stretched, size=size, resample=resample)
        self._features, self._size, self._grid, self._device = features, size, grid, device

    def extract(self, requests: Sequence[ImageRequest]) -> Sequence[FeatureMap]:
        """One feature map for each request, in their order."""
        maps = self._features(prepared_batch(requests, self.prepare, self._device))
        return stretched_maps(maps, requests, self._size, self._grid)
