"""Archives as nobody should make them, drawn at random, and what must hold whatever they are."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import stat
import tarfile
import zipfile
from pathlib import Path
from random import Random

from harness.downloads.archives import unpack
from harness.downloads.bounds import BadArchive, LargeArchive
from harness.errors import BenchError
from harness.messages import printable

MOST = 2_000_000
"""Bytes to which the archives here may unpack."""

NAMES = (
    *("a", "a/b", "a/b/c", "A", "d.txt", "a/", ".", "./a", "a//b", "top/1", "top/2", "._a", "__MACOSX/x"),
    *("../x", "../../victim/x", "/tmp/x", "a/../../x", "..", "/", "", "C:/x", "..\\x", "a\\b", "//host/x"),
    *(
        "x" * 300,
        "a/" * 80 + "b",
        "\u4e2d",
        "e\u0301",
        "a\nb",
        "\x1b[31m",
        "a\udcffb",
        "~",
        "con",
        "{victim}/x",
    ),
)

TARGETS = (
    *NAMES,
    "../victim/secret",
    "{victim}/secret",
    "{victim}",
    "a/../d.txt",
    "x" * 5000,
    ".." + "/.." * 60,
)


def draw_archive(random: Random, path: Path, victim: Path) -> None:
    """Writes an archive of some members, damaged or not.

    Args:
        victim: a folder outside, which members try to reach.
    """
    content = _draw_zip(random, victim) if random.random() < 0.4 else _draw_tar(random, victim)
    damage = random.random()
    if damage < 0.2:
        content = content[: random.randrange(len(content) + 1)]
    elif damage < 0.55:
        changed = bytearray(content)
        for _ in range(random.randint(1, 4)):
            # Headers are where it hurts most.
            place = random.randrange(min(len(changed), random.choice((64, 600, len(changed)))))
            changed[place] = random.choice((0, 1, 0x7F, 0x80, 0xFF, random.randrange(256)))
        content = bytes(changed)
    path.write_bytes(content)


def _content(random: Random) -> bytes:
    return random.choice((b"", b"x", b"secret" * 100, bytes(5000), bytes(300_000), random.randbytes(700)))


def _draw_name(random: Random, names: tuple[str, ...], victim: Path) -> str:
    return random.choice(names).replace("{victim}", str(victim))


def _draw_zip(random: Random, victim: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as out:
        for _ in range(random.randint(0, 6)):
            info = zipfile.ZipInfo("x")
            # Past the checks of what writes it, names that occur twice among them.
            out.NameToInfo.clear()
            info.filename = _draw_name(random, NAMES, victim).encode("utf-8", "replace").decode()
            info.create_system = random.choice((0, 3, 3, 3))
            kind = random.choice((0, stat.S_IFREG, stat.S_IFREG, stat.S_IFLNK, stat.S_IFIFO, stat.S_IFDIR))
            info.external_attr = (kind | 0o6777) << 16
            methods = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)
            info.compress_type = random.choice(methods)
            content = _content(random)
            if kind == stat.S_IFLNK:
                content = _draw_name(random, TARGETS, victim).encode("utf-8", "surrogateescape")
            with out.open(info, "w", force_zip64=random.random() < 0.2) as file:
                file.write(content)
    return buffer.getvalue()


_KINDS = (
    *(tarfile.REGTYPE,) * 6,
    *(tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE),
    *(tarfile.GNUTYPE_SPARSE, tarfile.CONTTYPE, b"z"),
)


def _draw_tar(random: Random, victim: Path) -> bytes:
    buffer = io.BytesIO()
    kind = random.choice((tarfile.GNU_FORMAT, tarfile.PAX_FORMAT))
    with tarfile.open(fileobj=buffer, mode="w", format=kind, errors="surrogateescape") as out:
        for _ in range(random.randint(0, 6)):
            info = tarfile.TarInfo(_draw_name(random, NAMES, victim))
            info.type = random.choice(_KINDS)
            info.mode = 0o6777
            content = b""
            if info.type in (tarfile.SYMTYPE, tarfile.LNKTYPE):
                info.linkname = _draw_name(random, TARGETS, victim)
            elif info.type in (tarfile.REGTYPE, tarfile.CONTTYPE):
                content = _content(random)
                if kind == tarfile.PAX_FORMAT and random.random() < 0.2:
                    info.pax_headers = {
                        random.choice(("path", "linkpath", "size", "GNU.sparse.map", "y")): "9,x"
                    }
            info.size = len(content)
            out.addfile(info, io.BytesIO(content))
    packers = (bytes, bytes, gzip.compress, bz2.compress, lzma.compress)
    return random.choice(packers)(buffer.getvalue())


def check_archive(archive: Path, out: Path, *, strip: int = 0) -> bool:
    """Unpacks an archive and checks what must hold. Returns whether it was unpacked."""
    try:
        unpack(archive, out, strip=strip, most=MOST)
    except BenchError as error:
        assert isinstance(error, BadArchive | LargeArchive), repr(error)
        assert printable(str(error)) == str(error)
        assert str(error).startswith(f"{archive}: ")
        assert list(out.iterdir()) == []
        return False
    total = 0
    for path in out.rglob("*"):
        assert path.is_file() or path.is_dir()
        assert not path.is_symlink()
        assert path.stat().st_mode & 0o7000 == 0
        if path.is_file():
            total += path.stat().st_size
            assert path.stat().st_nlink == 1
    assert total <= MOST
    assert not list(out.glob(".*.unpacking"))
    return True


def contents(folder: Path) -> dict[str, bytes]:
    """Files below a folder, by name."""
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
