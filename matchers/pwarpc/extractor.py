"""What PWarpC-NCNet needs of a picture: NCNet's features, of another input.

The authors pad both pictures of a pair with black at the right and bottom to one size before they stretch
them: a picture's features then depend on its partner, and it is encoded anew for every pair.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import PIL.Image
import torch

from harness.frames import Frame, Size
from harness.specs import FeatureMap, ImageRequest, MakeContext
from matchers.backbones.checkpoints import read_checkpoint
from matchers.backbones.inputs import stretch_area
from matchers.ncnet.extractor import LastLayer, image_size
from matchers.pwarpc.network import PWarpCNCNet


class PaddedPairs:
    """Features of pictures that were padded to one size (a `PairExtractor`)."""

    def __init__(self, network: LastLayer, side: int) -> None:
        self._network, self._side = network, side

    def extract_pairs(
        self, requests: Sequence[tuple[ImageRequest, ImageRequest]]
    ) -> list[tuple[FeatureMap, FeatureMap]]:
        """(C, h, w) of both images of each pair."""
        return [self._extract(*pair) for pair in requests]

    def _extract(self, source: ImageRequest, target: ImageRequest) -> tuple[FeatureMap, FeatureMap]:
        common = Size(*(max(sides) for sides in zip(source.size, target.size, strict=True)))
        pictures = [pad_corner(request.image, common) for request in (source, target)]
        pixels = torch.stack([stretch_area(picture, self._side) for picture in pictures])
        maps = self._network.features(pixels)
        size = Size(self._side, self._side)
        scale = (self._side / common.width, self._side / common.height)
        first, second = (
            FeatureMap(data, Frame(request.size, size, scale))
            for data, request in zip(maps, (source, target), strict=True)
        )
        return first, second


def pad_corner(image: PIL.Image.Image, size: Size) -> PIL.Image.Image:
    """A picture in the upper left corner of a black one."""
    padded = PIL.Image.new("RGB", size)
    padded.paste(image)
    return padded


def make_extractor(context: MakeContext, source: str) -> LastLayer:
    """Makes the extractor of pictures that are stretched by themselves.

    Args:
        source: name of the weight source.

    Raises:
        UserError: the file is damaged, or another network's.
    """
    path = context.weights[source]
    network = PWarpCNCNet.load(read_checkpoint(path).tensors, path).matching_model.FeatureExtraction
    side = image_size(context.weights, source)[0]
    return LastLayer(network, partial(stretch_area, side=side), side, context)


def make_pair_extractor(context: MakeContext, source: str) -> PaddedPairs:
    """Makes the extractor of pairs, as `make_extractor` that of pictures."""
    return PaddedPairs(make_extractor(context, source), image_size(context.weights, source)[0])
