"""What SCorrSAN computes of a picture alone: features with their spatial context."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch

from harness.frames import Size
from harness.preprocess import stretched_maps
from harness.specs import FeatureMap, ImageRequest, MakeContext
from matchers.backbones.inputs import network_batch, stretch
from matchers.cats.extractor import GRID
from matchers.cats.files import read_side, share_network
from matchers.scorrsan.files import load_scorrsan
from matchers.scorrsan.network import Scorrsan


class ScorrsanFeatures:
    """Features of the context encoder, each of length 1 (an `ImageExtractor`).

    Args:
        source: name of the weight source.

    Raises:
        UserError: the file is not this network's.
    """

    def __init__(self, context: MakeContext, source: str) -> None:
        self._network = share_network(context, source, load_scorrsan, backbone_of)
        self._side = read_side(context.weights[source])
        self._device = torch.device(context.device)
        self.prepare = partial(stretch, side=self._side)

    @torch.inference_mode()
    def extract(self, requests: Sequence[ImageRequest]) -> list[FeatureMap]:
        """See `harness.specs.ImageExtractor`; (2048, 16, 16) for SPair-71k's network."""
        pixels = network_batch(requests, self.prepare, self._device)
        dtype = next(self._network.backbone.parameters()).dtype
        features = self._network.encode(self._network.see(pixels.to(dtype)).float())
        return stretched_maps(features, requests, Size(self._side, self._side), GRID)


def backbone_of(network: Scorrsan) -> torch.nn.Module:
    """The part of the network that runs in reduced precision."""
    return network.backbone
