"""Pictures on disk: decoded once, the same way, everywhere."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import PIL.Image
import PIL.ImageOps

from harness.datasets.decoding import decode_rgb, require_file
from harness.errors import DataError
from harness.files import file_sha256

MIRRORED = "-mirrored"
"""Appended to the content hash of a picture that is used mirrored."""


@dataclass(frozen=True)
class ImageFile:
    """A picture file (an `ImageSource`).

    Attributes:
        name: the dataset's identifier.
        path: the file.
        mirror: True where it is used mirrored left to right.
    """

    name: str
    path: Path
    mirror: bool = False

    def identity(self) -> str:
        """sha256 of the file's bytes, marked when mirrored. Raises `DataError` where the file is missing."""
        status = require_file(self.path)
        try:
            digest = _file_hash(self.path, status.st_mtime_ns, status.st_size)
        except OSError as error:
            raise DataError(f"image {self.path}: {error.strerror or error}; make it readable") from error
        # A mirrored picture has other features: it must not share a key of caches and noise.
        return digest + MIRRORED if self.mirror else digest

    def open(self) -> PIL.Image.Image:
        """Decodes the picture to RGB, mirrored where it should be.

        Raises `DataError` where the file is missing, broken, or of a depth that has no rule.

        Orientation tags are left alone: the annotations of every published dataset refer to the stored
        pixels.
        """
        image = decode_rgb(self.path)
        return PIL.ImageOps.mirror(image) if self.mirror else image


# Time and size are arguments so that a replaced picture is hashed anew.
@lru_cache(maxsize=100_000)
def _file_hash(path: Path, mtime_ns: int, size: int) -> str:
    """`file_sha256`, remembered as long as the file stays as it is."""
    return file_sha256(path)
