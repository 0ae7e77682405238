"""What TransforMatcher needs of a picture alone: all blocks from layer 3 on, by either role's network."""

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
from matchers.transformatcher.network import FIRST_LAYER, IMAGE_SIZE, TransforMatcher


class BlockOutputs:
    """Outputs of all blocks from layer 3 on, after the ReLU (an `ImageExtractor`).

    Levels of a map are those of a source and, where the backbone's halves differ, those of a target after
    them: 26 or 52 for the published networks, 23 or 46 MB.

    Args:
        side: of the network's square input, in pixels.
    """

    def __init__(self, network: TransforMatcher, side: int, context: MakeContext) -> None:
        self.prepare = partial(stretch, side=side)
        self._side, self._levels = side, network.levels
        self._device, self._dtype = torch.device(context.device), DTYPES[context.precision]
        self._backbone = network.backbone.eval().requires_grad_(False).to(self._device, self._dtype)
        # The last block of layer 3: the deepest level at full resolution.
        self._shown = len(self._backbone.source.levels_of(FIRST_LAYER)) - 1

    def extract(self, requests: Sequence[ImageRequest]) -> list[FeatureMap]:
        """(C, h, w) of each image after the source's layer 3; (1024, 15, 15) for the published networks."""
        data, levels = self.features(network_batch(requests, self.prepare, self._device))
        return [
            FeatureMap(
                data[number].clone(),
                square_frame(request.size, self._side),
                # Copies: a view would keep the whole batch in memory.
                levels=tuple(level[number].clone() for level in levels),
            )
            for number, request in enumerate(requests)
        ]

    @torch.inference_mode()
    def features(self, pixels: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(B, 3, side, side) -> (B, C, h, w) after layer 3, and the levels (B, C_i, h_i, w_i).

        In single precision.
        """
        levels = [level.float() for level in self._backbone.all_levels(pixels.to(self._dtype), self._levels)]
        return levels[self._shown], levels


def make_extractor(context: MakeContext, source: str) -> BlockOutputs:
    """Makes the extractor of the checkpoint at a weight source.

    Raises:
        UserError: the file is damaged, or another network's.
    """
    network = TransforMatcher.of(read_checkpoint(context.weights[source]))
    return BlockOutputs(network, image_size(context.weights, source)[0], context)


def image_size(weights: Mapping[str, Path], source: str) -> tuple[int, int]:
    """Width and height of the network's input: the published one where the file says nothing.

    Raises:
        UserError: the file's settings name none that a correlation has room for.
    """
    path = weights[source]
    side = input_side(read_settings(path), path, IMAGE_SIZE)
    return side, side
