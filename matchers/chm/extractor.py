"""What CHM needs of a picture alone: its map at three scales, from the network of either role."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from baselines.networks.loading import DTYPES
from harness.specs import FeatureMap, ImageRequest, MakeContext
from matchers.backbones.checkpoints import input_side, read_checkpoint, read_settings
from matchers.backbones.inputs import network_batch, square_frame, stretch
from matchers.chm.network import IMAGE_SIZE, Chm


class ChmFeatures:
    """Maps of layer 3 (an `ImageExtractor`).

    Their levels are the maps at the three scales, reduced: those of a source and, where the backbone's halves
    differ, those of a target after them.

    Args:
        side: of the network's square input, in pixels.
    """

    def __init__(self, network: Chm, side: int, context: MakeContext) -> None:
        self.prepare = partial(stretch, side=side)
        self._side = side
        self._device, self._dtype = torch.device(context.device), DTYPES[context.precision]
        self._network = network.eval().requires_grad_(False).to(self._device, self._dtype)

    def extract(self, requests: Sequence[ImageRequest]) -> list[FeatureMap]:
        """(C, h, w) of each image by the source's network; (1024, 15, 15) for the published ones."""
        data, levels = self.features(network_batch(requests, self.prepare, self._device))
        return [
            FeatureMap(
                data[number],
                square_frame(request.size, self._side),
                # Copies: a view would keep the whole batch in memory.
                levels=tuple(level[number].clone() for level in levels),
            )
            for number, request in enumerate(requests)
        ]

    @torch.inference_mode()
    def features(self, pixels: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(B, 3, side, side) -> (B, C, h, w), and the levels (B, C', h_i, w_i), in single precision."""
        maps = self._network.backbone.all_levels(pixels.to(self._dtype), [self._network.level])
        levels = [level.float() for features in maps for level in self._network.learner.reduce(features)]
        return maps[0].float(), levels


def make_extractor(context: MakeContext, source: str) -> ChmFeatures:
    """Makes the extractor of the checkpoint at a weight source.

    Raises:
        UserError: the file is damaged, or another network's.
    """
    network = Chm.of(read_checkpoint(context.weights[source]))
    return ChmFeatures(network, image_size(context.weights, source)[0], context)


def image_size(weights: Mapping[str, Path], source: str) -> tuple[int, int]:
    """Width and height of the network's input: the published one where the file says nothing.

    Raises:
        UserError: the file's settings name none that a correlation has room for.
    """
    path = weights[source]
    side = input_side(read_settings(path), path, IMAGE_SIZE)
    return side, side
