"""The largest size to which an archive may unpack, and the room that a disk must have for it."""

from __future__ import annotations

import errno
import shutil
from dataclasses import dataclass
from pathlib import Path

from harness.errors import NotWritten, UserError
from harness.messages import bytes_text

RATIO = 50
"""An archive may unpack to so many times its own size: pictures to about once, texts to 20 times."""

FREE_OF_RATIO = 256_000_000
"""Bytes to which any archive may unpack, however small it is."""

_BLOCK = 4096
"""Bytes that the smallest file or folder takes of a disk. Counting it bounds the number of members, too."""


class BadArchive(UserError):
    """An archive that is damaged or reaches outside its folder. Nothing of it has been unpacked."""


class LargeArchive(UserError):
    """An archive that may be whole and unpacks to more than it should. Nothing of it has been unpacked."""


@dataclass
class Room:
    """Counts what an archive unpacks to, before it is written.

    Attributes:
        name: the archive, as errors name it.
        folder: a folder of the disk that it is written to.
        most: bytes that may come out of it.
        free: bytes that the disk had left when the unpacking began.
        spent: bytes so far.
    """

    name: Path
    folder: Path
    most: int
    free: int
    spent: int = 0

    @classmethod
    def of(cls, archive: Path, name: Path, folder: Path, most: int | None) -> Room:
        """The room for an archive.

        Args:
            most: bytes that may come out of it, where its owner knows; by its own size otherwise.
        """
        bound = most or max(FREE_OF_RATIO, RATIO * archive.stat().st_size)
        return cls(name, folder, bound, shutil.disk_usage(folder).free)

    def spend(self, size: int) -> None:
        """Counts a file, or a folder of size 0, that is about to be written.

        Raises:
            LargeArchive: it would be more than the archive may unpack to.
            NotWritten: it would be more than the disk has left.
        """
        self.spent += max(1, -(-size // _BLOCK)) * _BLOCK
        self.check_position(self.spent)
        check_free(self.folder, self.spent, self.free)

    def check_position(self, position: int) -> None:
        """Raises `LargeArchive` where more bytes than the bound had to be read or written."""
        if position > self.most:
            raise LargeArchive(
                f"{self.name}: unpacks to more than {bytes_text(self.most)}, the bound for an archive of its "
                "size; refused, and nothing was unpacked; if you trust it, unpack it by hand where it lies"
            )


def check_free(path: Path, needed: int, free: int | None = None) -> None:
    """Checks that a disk has room, before anything is written.

    Args:
        path: a folder of the disk, or a file in one; the error names it.
        needed: bytes.
        free: bytes that are left, where they have been looked at.

    Raises:
        NotWritten: it has less.
    """
    if free is None:
        free = shutil.disk_usage(path if path.is_dir() else path.parent).free
    if needed > free:
        reason = f"No space left on device ({bytes_text(needed)} needed, {bytes_text(free)} free)"
        raise NotWritten(errno.ENOSPC, reason, str(path))
