"""Images of a page, each once, within a number of bytes."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.specs import ImageSource

_LONGER_SIDE, _JPEG_QUALITY = 256, 72


@dataclass
class ImageStore:
    """Images of the page, each once, as JPEG data URIs, until a number of bytes is used.

    Attributes:
        bytes_left: bytes that may still be used.
        uris: identity -> data URI, in order of adding.
    """

    bytes_left: int
    uris: dict[str, str] = field(default_factory=dict)

    def add(self, images: Sequence[ImageSource], text_bytes: int) -> list[int] | None:
        """Adds the images of a card and subtracts its bytes, or does nothing where there is not enough room.

        Args:
            text_bytes: length of the card's text.

        Returns:
            Numbers of the images in the page; None where there is not enough room.

        Raises:
            DataError: an image cannot be read.
        """
        # Encoded before anything is counted: the size of a JPEG is not known earlier.
        new: dict[str, str] = {}
        for image in images:
            identity = image.identity()
            if identity not in self.uris and identity not in new:
                new[identity] = _data_uri(image)
        cost = text_bytes + sum(map(len, new.values()))
        if cost > self.bytes_left:
            return None
        self.bytes_left -= cost
        self.uris |= new
        identities = list(self.uris)
        return [identities.index(image.identity()) for image in images]


def _data_uri(image: ImageSource) -> str:
    """The image as a JPEG, its longer side at most 256 pixels."""
    picture = image.open()
    # Small pictures are not made larger: that would cost bytes and show nothing more.
    scale = min(1.0, _LONGER_SIDE / max(picture.size))
    # A long, thin picture keeps at least one pixel of its shorter side.
    width, height = (max(1, round(side * scale)) for side in picture.size)
    small = picture.resize((width, height))
    file = io.BytesIO()
    small.save(file, format="JPEG", quality=_JPEG_QUALITY, optimize=True)
    text = base64.b64encode(file.getvalue()).decode()
    return f"data:image/jpeg;base64,{text}"
