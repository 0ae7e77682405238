"""Resampling filters and normalisation of the pixels that networks read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import PIL.Image

if TYPE_CHECKING:
    import torch

FILTERS: Mapping[str, PIL.Image.Resampling] = {
    "bilinear": PIL.Image.Resampling.BILINEAR,
    "bicubic": PIL.Image.Resampling.BICUBIC,
}
"""Values of the parameter `resample`, and Pillow's filters for them."""

TENSOR_FILTER = "bilinear-tensor"
"""Value of the parameter `resample` for `stretch_as_tensor`, which is no filter of Pillow's."""

Channels = tuple[float, float, float]
"""One number for each of red, green and blue, in [0, 1]."""

# Statistics of the pictures that the networks were trained on, as their preprocessors state them.
IMAGENET_MEAN: Channels = (0.485, 0.456, 0.406)
IMAGENET_STD: Channels = (0.229, 0.224, 0.225)

CLIP_MEAN: Channels = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD: Channels = (0.26862954, 0.26130258, 0.27577711)


def stretch_as_tensor(image: PIL.Image.Image, size: tuple[int, int]) -> torch.Tensor:
    """Stretches a picture as the evaluation of SD4Match's release does.

    Bilinear, not antialiased where the picture becomes smaller, and not rounded to bytes.

    Args:
        image: RGB.
        size: (width, height) in pixels.

    Returns:
        (height, width, 3) float32 from 0 to 255.
    """
    import numpy as np
    import torch

    width, height = size
    pixels = torch.from_numpy(np.array(image, dtype=np.float32)).permute(2, 0, 1)
    resized = torch.nn.functional.interpolate(
        pixels[None], (height, width), mode="bilinear", align_corners=False
    )
    return resized[0].permute(1, 2, 0).contiguous()


def normalize_pixels(
    pixels: torch.Tensor, mean: Channels = IMAGENET_MEAN, std: Channels = IMAGENET_STD
) -> torch.Tensor:
    """Subtracts the mean of each channel and divides by its standard deviation.

    Args:
        pixels: (..., 3, H, W) RGB in [0, 1].

    Returns:
        the same shape; by default, the input of a DINO.
    """
    import torch

    offset = torch.tensor(mean, device=pixels.device)[:, None, None]
    scale = torch.tensor(std, device=pixels.device)[:, None, None]
    return (pixels - offset) / scale
