"""Pictures of a run: decoded and checked the first time, and later only where somebody looks at them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import PIL.Image

from harness.datasets.decoding import DepthError, to_rgb
from harness.errors import DataError
from harness.frames import Size
from harness.specs import ImageSource, LazyImage

if TYPE_CHECKING:
    import torch

PictureKey = tuple[str, Size]
"""A picture's content, and its size as annotated."""


class PrefetchedImage(NamedTuple):
    """A picture that was decoded ahead and has the size that its annotation says.

    Attributes:
        image: None where only the result of `prepare` is needed.
        prepared: result of the extractor's `prepare`; None for an extractor without one.
    """

    image: PIL.Image.Image | None
    prepared: torch.Tensor | None


def open_checked(image: ImageSource, annotated: Size) -> PIL.Image.Image:
    """Decodes a picture to RGB.

    Raises:
        DataError: the picture is broken, or has another size than its annotation says, so that its points
            would lie elsewhere.
    """
    picture = image.open()
    if picture.size != tuple(annotated):
        raise DataError(
            f"image {image.name}: has {picture.size[0]} x {picture.size[1]} pixels, its annotation says "
            f"{annotated.width} x {annotated.height}; put the original file back"
        )
    if picture.mode == "RGB":
        return picture
    # Of a plugin's dataset; the harness's own pictures are RGB.
    try:
        return to_rgb(picture)
    except DepthError as error:
        raise DataError(f"image {image.name}: {error}") from error


def picture_key(image: ImageSource, annotated: Size) -> PictureKey | None:
    """Key that tells a picture from others; None where it is missing."""
    try:
        return image.identity(), annotated
    except DataError:
        return None


class Pictures:
    """Pictures by content and annotated size.

    A picture that was good once is not decoded again unless it is looked at: what an extractor or a prompt
    keeps of it answers for most of its pairs. A fault of a picture is reported each time, before the picture
    is in a batch.

    Attributes:
        ahead: key -> a picture that was decoded before it is asked for, if there is one.
    """

    def __init__(self) -> None:
        self.ahead: Callable[[PictureKey], PrefetchedImage | None] | None = None
        self._good: set[PictureKey] = set()

    def get(
        self, image: ImageSource, annotated: Size
    ) -> tuple[PIL.Image.Image | LazyImage, torch.Tensor | None]:
        """Returns a picture, and the result of the extractor's `prepare` where that was done ahead.

        Raises:
            DataError: the picture is missing, broken, or of another size.
        """
        # A picture that is missing has no key; opening it says so.
        key = picture_key(image, annotated)
        lazy = LazyImage(annotated, lambda: open_checked(image, annotated))
        if key in self._good:
            return lazy, None
        prefetched = None
        if self.ahead and key:
            prefetched = self.ahead(key)
        if prefetched is None:
            prefetched = PrefetchedImage(open_checked(image, annotated), None)
        if key:
            self._good.add(key)
        return prefetched.image or lazy, prefetched.prepared
