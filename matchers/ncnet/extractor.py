"""What NCNet needs of a picture alone: features of the last layer, of length 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from baselines.networks.loading import DTYPES
from harness.specs import FeatureMap, ImageRequest, MakeContext, Prepare
from matchers.backbones.checkpoints import input_side, read_checkpoint, read_settings
from matchers.backbones.inputs import network_batch, square_frame, stretch_corners
from matchers.ncnet.network import IMAGE_SIZE, FeatureExtraction, NCNet


class LastLayer:
    """Features of a frozen NCNet (an `ImageExtractor`).

    Args:
        network: its backbone.
        prepare: picture -> (3, side, side), normalised as for ImageNet.
        side: of the network's square input.
    """

    def __init__(self, network: FeatureExtraction, prepare: Prepare, side: int, context: MakeContext) -> None:
        self.prepare, self._side = prepare, side
        self._device, self._dtype = torch.device(context.device), DTYPES[context.precision]
        self._network = network.eval().requires_grad_(False).to(self._device, self._dtype)

    def extract(self, requests: Sequence[ImageRequest]) -> list[FeatureMap]:
        """(C, h, w) of each image; (1024, 25, 25) for the published networks."""
        features = self.features(network_batch(requests, self.prepare, self._device))
        return [
            FeatureMap(data, square_frame(request.size, self._side))
            for data, request in zip(features, requests, strict=True)
        ]

    @torch.inference_mode()
    def features(self, pixels: Tensor) -> Tensor:
        """(B, 3, side, side) -> (B, C, h, w) in single precision."""
        features: Tensor = self._network(pixels.to(self._dtype))
        return features.float()


def make_extractor(context: MakeContext, source: str) -> LastLayer:
    """Makes the extractor of an NCNet's checkpoint.

    Args:
        source: name of the weight source.

    Raises:
        UserError: the file is damaged, or another network's.
    """
    path = context.weights[source]
    network = NCNet.load(read_checkpoint(path).tensors, path)
    side = image_size(context.weights, source)[0]
    return LastLayer(network.FeatureExtraction, partial(stretch_corners, side=side), side, context)


def image_size(weights: Mapping[str, Path], source: str) -> tuple[int, int]:
    """Width and height of the network's input: the published one where the file says nothing.

    Raises:
        UserError: the file's settings name none that a correlation has room for.
    """
    path = weights[source]
    side = input_side(read_settings(path), path, IMAGE_SIZE)
    return side, side
