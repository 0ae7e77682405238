"""The members of an archive, one after another, read without trusting it.

`tarfile`'s and `zipfile`'s own checks are not enough: they bound neither what they hold in memory (the header
of a .tar, the content of a link, a block of bzip2 in a .zip) nor the number and size of what comes out.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import posixpath
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

from harness.downloads.bounds import BadArchive, Room
from harness.messages import printable

LONGEST_READ = 2 << 20
"""Bytes that are held in memory at a time."""

_LONGEST_TARGET = 4096
"""Bytes of the path that a link points to: no system has longer ones."""

_LONGEST_NAME = 80
"""Characters of a member's name that are shown."""

_ENCRYPTED = 1

_COMPRESSIONS = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open, b"]\0\0": lzma.open}
"""First bytes of a compressed .tar -> what reads it, never more than it is asked for."""


@dataclass(frozen=True)
class Member:
    """One entry of an archive.

    Attributes:
        size: bytes of a file.
        link: for a link, the name of the member it points to, normalised.
        content: for a file, its bytes; open until the next member is asked for.
    """

    name: str
    kind: Literal["file", "folder", "link"]
    size: int = 0
    content: IO[bytes] | None = None
    link: str = ""


def shown(name: str) -> str:
    """A member's name for a message: in one line, and not without end."""
    text = printable(name)
    return text if len(text) <= _LONGEST_NAME else f"{text[:_LONGEST_NAME]}…"


def read_members(archive: Path, room: Room) -> Iterator[Member]:
    """Yields the members of a .zip or .tar, whatever it is called.

    Args:
        room: what it may unpack to; no more than that is read.

    Raises:
        BadArchive: a member is neither file, folder nor link, or not to be read.
        LargeArchive: it unpacks to more than it should.
        Exception: one of `zipfile`, `tarfile` or a compression, where it is damaged.
    """
    with archive.open("rb") as file:
        start = file.read(6)
    # By content: what a server calls the file says little.
    if start.startswith(b"PK"):
        yield from _zip_members(archive, room)
    else:
        opener: Any = next((_COMPRESSIONS[first] for first in _COMPRESSIONS if start.startswith(first)), open)
        with opener(archive, "rb") as stream:
            yield from _tar_members(stream, room)


def _refusal(room: Room, name: str, problem: str) -> BadArchive:
    return BadArchive(f"{room.name}: member '{shown(name)}' {problem}; refused, and nothing was unpacked")


def _zip_members(archive: Path, room: Room) -> Iterator[Member]:
    with zipfile.ZipFile(archive) as file:
        infos = file.infolist()
        _check_sizes(infos, room)
        for info in infos:
            name = info.filename.replace("\\", "/")  # some tools on Windows write these
            # Only Unix (3) stores a file's type; 0 stands for a plain file.
            kind = stat.S_IFMT(info.external_attr >> 16) if info.create_system == 3 else 0
            if name.endswith("/"):
                yield Member(name, "folder")
                continue
            if kind not in (0, stat.S_IFREG, stat.S_IFLNK):
                raise _refusal(room, name, "is neither file nor folder")
            if info.flag_bits & _ENCRYPTED:
                raise _refusal(room, name, "is encrypted")
            # Of the other methods `zipfile` unpacks blocks whole, of whatever size.
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise _refusal(room, name, f"is compressed by method {info.compress_type}, which is not read")
            with file.open(info) as content:
                if kind == stat.S_IFLNK:
                    # The content of a link is the path that it points to.
                    target = content.read(_LONGEST_TARGET + 1).decode("utf-8", "surrogateescape")
                    yield _link(room, name, target)
                else:
                    yield Member(name, "file", info.file_size, content)


def _check_sizes(infos: list[zipfile.ZipInfo], room: Room) -> None:
    """Raises where all members together are too large: a .zip says it before anything is unpacked."""
    whole = Room(room.name, room.folder, room.most, room.free)
    for info in infos:
        whole.spend(info.file_size)


def _tar_members(stream: IO[bytes], room: Room) -> Iterator[Member]:
    guarded: Any = _Guarded(stream, room)
    with tarfile.TarFile(fileobj=guarded) as tar:
        position = 0
        while info := tar.next():
            # `tarfile` remembers all of them, and it has a loop for sizes below zero.
            tar.members.clear()  # type: ignore[attr-defined]
            if info.size < 0 or tar.offset <= position:
                raise tarfile.ReadError("a size below zero")
            position = tar.offset
            if info.isdir():
                yield Member(info.name, "folder")
            elif info.issym():
                yield _link(room, info.name, info.linkname)
            elif info.islnk():  # a hard link, whose target is named from the archive's root
                yield Member(info.name, "link", link=posixpath.normpath(info.linkname))
            elif info.isreg():
                content = tar.extractfile(info)
                if content is None:
                    raise _refusal(room, info.name, "has no content")
                with closing(content):
                    yield Member(info.name, "file", info.size, content)
            else:
                raise _refusal(room, info.name, "is neither file nor folder")
        _check_end(guarded, tar.offset)


def _check_end(stream: _Guarded, end: int) -> None:
    """Raises where the archive was cut between two members, which `tarfile` takes for its end, or fails its
    checksum.
    """
    stream.seek(end)
    if stream.read(tarfile.BLOCKSIZE) != tarfile.NUL * tarfile.BLOCKSIZE:
        raise tarfile.ReadError("unexpected end of data")
    while stream.read(1 << 20):
        pass  # the checksum of a compressed stream is at its very end


def _link(room: Room, name: str, target: str) -> Member:
    """A symbolic link, whose target becomes a member's name. An absolute target stays absolute."""
    if len(target) > _LONGEST_TARGET:
        raise _refusal(room, name, "is a link to a path that is too long")
    return Member(name, "link", link=posixpath.normpath(posixpath.join(posixpath.dirname(name), target)))


class _Guarded:
    """A stream for `tarfile` that refuses to read much at once, which only a header can ask for, and to go
    beyond what the archive may unpack to.
    """

    def __init__(self, stream: IO[bytes], room: Room) -> None:
        self._stream = stream
        self._room = room

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= LONGEST_READ:
            raise tarfile.ReadError("a header that is longer than any")
        content = self._stream.read(size)
        self._room.check_position(self._stream.tell())
        return content

    def seek(self, position: int) -> int:
        if position < 0:
            raise tarfile.ReadError("a size below zero")
        self._room.check_position(position)
        return self._stream.seek(position)

    def tell(self) -> int:
        return self._stream.tell()
