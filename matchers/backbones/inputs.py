"""Pictures as the networks are fed them: RGB of any size -> (3, side, side), normalised as for ImageNet.

Each function is a module's own, so that a `functools.partial` of it can be sent to worker processes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import PIL.Image
import torch
import torch.nn.functional as F
from torch import Tensor

from baselines.networks.pixels import normalize_pixels
from harness.frames import Frame, Size
from harness.preprocess import stretched
from harness.specs import ImageRequest, Prepare


def stretch(image: PIL.Image.Image, side: int) -> Tensor:
    """Stretches a picture with Pillow's bilinear filter, antialiased where it becomes smaller (most)."""
    return _normalize(stretched(image, (side, side), PIL.Image.Resampling.BILINEAR))


def stretch_corners(image: PIL.Image.Image, side: int) -> Tensor:
    """Stretches corner to corner, bilinearly and without antialiasing (NCNet)."""
    pixels = F.interpolate(_numbers(image), (side, side), mode="bilinear", align_corners=True)
    return normalize_pixels(pixels[0] / 255)


def stretch_area(image: PIL.Image.Image, side: int) -> Tensor:
    """Stretches by means over areas (PWarpC)."""
    pixels = F.interpolate(_numbers(image), (side, side), mode="area")
    return normalize_pixels(pixels[0] / 255)


def stretch_bordered(image: PIL.Image.Image, side: int, border: int) -> Tensor:
    """Stretches to the middle of the square and leaves a black border, before normalisation (SFNet).

    Args:
        side: of the whole square, the border included.
        border: pixels on each of the four sides.
    """
    inner = side - 2 * border
    pixels = stretched(image, (inner, inner), PIL.Image.Resampling.BILINEAR)
    return _normalize(F.pad(pixels, (0, 0, border, border, border, border)))


def stretched_prepare(side: int, border: int = 0) -> Prepare:
    """The function that stretches with Pillow's bilinear filter, with or without a border."""
    return partial(stretch_bordered, side=side, border=border) if border else partial(stretch, side=side)


def network_batch(
    requests: Sequence[ImageRequest], prepare: Prepare, device: torch.device | str = "cpu"
) -> Tensor:
    """Inputs made now or ahead -> (N, 3, side, side) float32 on the device."""
    prepared = [
        prepare(request.image) if request.prepared is None else request.prepared for request in requests
    ]
    return torch.stack(prepared).to(device, non_blocking=True)


def square_frame(size: Size, side: int, border: int = 0) -> Frame:
    """The frame of a picture that was stretched to a square, less its border."""
    inner = side - 2 * border
    scale = (inner / size.width, inner / size.height)
    return Frame(size, Size(side, side), scale, (float(border), float(border)))


def _numbers(image: PIL.Image.Image) -> Tensor:
    """(1, 3, H, W) float32 from 0 to 255."""
    return torch.from_numpy(np.array(image, dtype=np.float32)).permute(2, 0, 1)[None]


def _normalize(pixels: Tensor) -> Tensor:
    """(h, w, 3) bytes -> (3, h, w) float32."""
    return normalize_pixels(pixels.permute(2, 0, 1).float() / 255)
