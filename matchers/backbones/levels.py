"""Levels of a ResNet as features: the extractor of the method `resnet`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from baselines.networks.loading import DTYPES
from harness.errors import UserError
from harness.frames import Size
from harness.preprocess import stretched_maps
from harness.specs import FeatureMap, ImageRequest, MakeContext
from matchers.backbones import inputs
from matchers.backbones.checkpoints import read_checkpoint
from matchers.backbones.published import IMAGE_SIZE, LAYER, RESNET101
from matchers.backbones.resnet import ResNet
from matchers.formulas import resize_corners

RESIZES: dict[str, Callable[..., Tensor]] = {
    "bilinear": inputs.stretch,
    "corners": inputs.stretch_corners,
    "area": inputs.stretch_area,
}
"""Values of the parameter `resize`, and what stretches a picture so."""


class ResNetLevels:
    """Some levels of a ResNet for stretched pictures (an `ImageExtractor`).

    Parameters: `levels` (hyperpixel indices between commas; None for the last block of layer3),
    `before_relu`, `image_size` (side in pixels; None for 256), `resize`.

    Several levels are brought to the cells of the first in depth, corner to corner, and lie one after
    another in the channels (hyperpixels: Min et al., 2019).

    Raises:
        UserError: the weights are damaged or no ResNet's, or the network has no such level.
    """

    def __init__(self, context: MakeContext) -> None:
        path, params = context.weights[RESNET101], context.params
        self._device, self._dtype = torch.device(context.device), DTYPES[context.precision]
        self._network = load_resnet(path).to(self._device, self._dtype)
        self._levels = parse_levels(params["levels"], self._network)
        self._before_relu = bool(params["before_relu"])
        self._side = read_side(params["image_size"])
        self.prepare = partial(RESIZES[str(params["resize"])], side=self._side)

    def extract(self, requests: Sequence[ImageRequest]) -> list[FeatureMap]:
        """(C, h, w) of each picture; (1024, 16, 16) for a ResNet-101's layer3 at 256 x 256."""
        pixels = inputs.network_batch(requests, self.prepare, self._device).to(self._dtype)
        with torch.no_grad():
            maps = self._network(pixels, self._levels, self._before_relu)
        rows, columns = maps[self._levels.index(min(self._levels))].shape[2:]
        resized = [
            states if states.shape[2:] == (rows, columns) else resize_corners(states, (rows, columns))
            for states in maps
        ]
        return stretched_maps(torch.cat(resized, dim=1), requests, Size(self._side, self._side))


def load_resnet(path: Path) -> ResNet:
    """A frozen ResNet from a file with torchvision's names. Raises `UserError` if it is none."""
    tensors = read_checkpoint(path).tensors
    network = ResNet.like(tensors, str(path)).load(tensors, str(path))
    return network.eval().requires_grad_(False)


def parse_levels(text: object, network: ResNet) -> list[int]:
    """Levels between commas; None stands for the last block of layer3.

    Raises:
        UserError: the text is no such list, or the network has no such level.
    """
    if text is None:
        return [network.levels_of(LAYER)[-1]]
    try:
        levels = [int(part) for part in str(text).split(",")]
    except ValueError:
        raise UserError(f"levels={text}: not whole numbers between commas, such as 0,8,20") from None
    network.check_levels(levels)
    return levels


def read_side(value: object) -> int:
    """Side in pixels of the network's input; None for 256.

    Raises:
        UserError: a picture of that size has no cells, or takes all memory.
    """
    side = IMAGE_SIZE if value is None else int(str(value))
    if not 32 <= side <= 4096:
        raise UserError(f"image_size={side}: not from 32 to 4096 pixels")
    return side
