"""Features of pictures and of their mirror images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import PIL.Image
import PIL.ImageOps

from harness.datasets.images import MIRRORED
from harness.specs import FeatureMap, ImageExtractor, ImageRequest, LazyImage, is_preparing_extractor


class MirroredToo:
    """An extractor whose maps have the features of the mirrored picture behind their own levels.

    Args:
        extractor: of scope `image`; it is called twice, once with the mirrored pictures.
    """

    def __init__(self, extractor: ImageExtractor) -> None:
        self._extractor = extractor
        if is_preparing_extractor(extractor):
            # Only pictures as they are: mirrored ones are prepared when they are needed.
            self.prepare = extractor.prepare

    def extract(self, requests: Sequence[ImageRequest]) -> list[FeatureMap]:
        """Each picture's map, with those of its mirror image as the last of `levels`."""
        maps = self._extractor.extract(requests)
        mirrored_maps = self._extractor.extract([mirrored_request(request) for request in requests])
        return [
            replace(each, levels=(*each.levels, mirrored.data))
            for each, mirrored in zip(maps, mirrored_maps, strict=True)
        ]


def mirrored_request(request: ImageRequest) -> ImageRequest:
    """The same request for the mirrored picture. Its prompt stays what it was made for."""
    identity = request.identity + MIRRORED
    if request.identity.endswith(MIRRORED):
        identity = request.identity.removesuffix(MIRRORED)
    picture = LazyImage(request.size, partial(_mirror, request))
    return replace(request, picture=picture, identity=identity, prepared=None)


def _mirror(request: ImageRequest) -> PIL.Image.Image:
    return PIL.ImageOps.mirror(request.image)
