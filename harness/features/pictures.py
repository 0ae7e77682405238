"""The pictures of a run: decoded and checked the first time, and from then on only where somebody looks at them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import PIL.Image

from harness.errors import DataError
from harness.frames import Size
from harness.specs import ImageSource, LazyImage

if TYPE_CHECKING:
    import torch

    from harness.features.prefetch import Prefetcher

Key = tuple[str, Size]
"""A picture's content, and the size that its annotation says."""


def opened(image: ImageSource, annotated: Size) -> PIL.Image.Image:
    """The decoded picture. Raises `DataError` where its size is not what the annotation says: its points would be elsewhere."""
    found = image.open()
    if found.size != tuple(annotated):
        raise DataError(
            f"image {image.name}: has {found.size[0]} x {found.size[1]} pixels, its annotation says "
            f"{annotated.width} x {annotated.height}; put the original file back"
        )
    return found


def picture_key(image: ImageSource, annotated: Size) -> Key | None:
    """What tells a picture from others; None where it is missing."""
    try:
        return image.identity(), annotated
    except DataError:
        return None


class Pictures:
    """Pictures by content and annotated size.

    A picture that has been found good is not decoded again unless it is looked at: what an extractor or a prompt keeps of it answers
    for most of its pairs. What is wrong with a picture is told each time, before it is in a batch.

    Attributes:
        ahead: what decodes pictures before they are asked for.
    """

    def __init__(self) -> None:
        self.ahead: Prefetcher | None = None
        self._good: set[Key] = set()

    def get(
        self, image: ImageSource, annotated: Size
    ) -> tuple[PIL.Image.Image | LazyImage, torch.Tensor | None]:
        """The picture, and what an extractor's `prepare` made of it where that was done ahead. Raises `DataError`."""
        key = picture_key(image, annotated)
        later = LazyImage(annotated, lambda: opened(image, annotated))
        if key in self._good:
            return later, None
        found = self.ahead.get(key) if self.ahead and key else None
        picture = opened(image, annotated) if found is None else found.image or later
        if key:
            self._good.add(key)
        return picture, found.prepared if found else None
