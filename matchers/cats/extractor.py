"""What CATs computes of a picture alone: features of all levels on one grid, and their projections."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch

from harness.frames import GridConvention, Size
from harness.preprocess import stretched_maps
from harness.specs import FeatureMap, ImageRequest, MakeContext
from matchers.backbones.inputs import network_batch, stretch
from matchers.cats.files import load_cats, read_side, share_network
from matchers.cats.network import Cats
from matchers.formulas import normalize_features

GRID: GridConvention = "half-pixel"
"""How cells lie on the input's pixels: as the authors' reading enlarges a flow."""


class CatsFeatures:
    """Features of all levels (an `ImageExtractor`).

    A map's `data` is what the correlation compares: the levels' features one after another, each of length 1,
    so that a dot product of two cells is the sum of the levels' cosines. Its one level is the projections
    (L, g * g, P).

    Args:
        source: name of the weight source.

    Raises:
        UserError: the file is not this network's.
    """

    def __init__(self, context: MakeContext, source: str) -> None:
        self._network = share_network(context, source, load_cats, backbone_of)
        self._side = read_side(context.weights[source])
        self._device = torch.device(context.device)
        self.prepare = partial(stretch, side=self._side)

    @torch.inference_mode()
    def extract(self, requests: Sequence[ImageRequest]) -> list[FeatureMap]:
        """See `harness.specs.ImageExtractor`; (7232, 16, 16) and (8, 256, 128) for SPair-71k's network."""
        pixels = network_batch(requests, self.prepare, self._device)
        dtype = next(self._network.backbone.parameters()).dtype
        levels = [level.float() for level in self._network.encode(pixels.to(dtype))]
        projections = self._network.project(levels)
        data = torch.cat([normalize_features(level) for level in levels], dim=1)
        maps = stretched_maps(data, requests, Size(self._side, self._side), GRID)
        return [
            FeatureMap(each.data, each.frame, each.grid, (projection,))
            for each, projection in zip(maps, projections, strict=True)
        ]


def backbone_of(network: Cats) -> torch.nn.Module:
    """The part of the network that runs in reduced precision."""
    return network.backbone
