"""Pictures on disk: decoded once, the same way, everywhere."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import PIL.Image
import PIL.ImageOps

from harness.errors import DataError
from harness.files import file_sha256
from harness.frames import Size

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
        try:
            stat = self.path.stat()
            digest = _file_hash(self.path, stat.st_mtime_ns, stat.st_size)
        except OSError as error:
            raise DataError(
                f"image {self.path}: {error.strerror or error}; put the file there or fetch the dataset again"
            ) from error
        # A mirrored picture has other features: it must not share a key of caches and noise.
        return digest + MIRRORED if self.mirror else digest

    def open(self) -> PIL.Image.Image:
        """Decodes the picture to RGB, mirrored where it should be.

        Raises `DataError` where the file is missing or broken.

        Orientation tags are left alone: the annotations of every published dataset refer to the stored
        pixels.
        """
        try:
            with PIL.Image.open(self.path) as file:
                image = file.convert("RGB")
        except (OSError, SyntaxError, ValueError, PIL.Image.DecompressionBombError) as error:
            # Pillow raises SyntaxError and ValueError, besides OSError, for damaged files of some formats.
            raise DataError(f"image {self.path}: cannot be decoded ({error}); replace the file") from error
        return PIL.ImageOps.mirror(image) if self.mirror else image


def file_size_in_pixels(path: Path) -> Size:
    """Reads width and height from the file's header alone. Raises `DataError`."""
    try:
        with PIL.Image.open(path) as file:
            return Size(*file.size)
    except (OSError, SyntaxError, ValueError, PIL.Image.DecompressionBombError) as error:
        raise DataError(f"image {path}: cannot be read ({error}); replace the file") from error


# Time and size are arguments so that a replaced picture is hashed anew.
@lru_cache(maxsize=100_000)
def _file_hash(path: Path, mtime_ns: int, size: int) -> str:
    """`file_sha256`, remembered as long as the file stays as it is."""
    return file_sha256(path)
