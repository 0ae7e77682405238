"""Archives, unpacked without trusting them.

Everything goes to a temporary folder beside the destination first and moves over once all of it is there, the
part by which a dataset is known to be complete last: a kill at any moment leaves nothing that looks complete
and is not.

No link is ever created. One that points to a file of the archive becomes a copy of that file; others are
refused. So no member can be written through a link, whatever the order of members.
"""

from __future__ import annotations

import errno
import lzma
import os
import re
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from harness.downloads.bounds import BadArchive, Room
from harness.downloads.members import Member, read_members, shown
from harness.downloads.web_pages import is_web_page
from harness.errors import UserError
from harness.files import make_folder, sync_folder, writing
from harness.messages import first_line, printable

_JUNK = ("__MACOSX", ".DS_Store")
"""Left by the archiver of macOS, as are files that begin with `._`: SD4Match's archives have them."""

_DEEPEST = 64
"""Folders that a member may lie in, one inside the other."""

_CHUNK = 1 << 20

_DRIVE = re.compile("[A-Za-z]:/")

_CONTRADICTIONS = (errno.EEXIST, errno.ENOTDIR, errno.EISDIR)
"""Errors of writing a member where another member is a file, or a folder."""

_BAD_NAMES = (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL)
"""Errors of a name that no file can have here. All other errors of a write are not the archive's fault."""


def unpack(
    archive: Path,
    folder: Path,
    *,
    strip: int = 0,
    provides: str = "",
    most: int | None = None,
    name: Path | None = None,
) -> None:
    """Unpacks a .zip or .tar (.gz, .bz2, .xz) into a folder, whose other content stays.

    Only one process at a time may unpack into a folder: the caller holds it, see `harness.downloads.holding`.

    Args:
        strip: number of leading folders to drop from the members' names; a file keeps at least its own name.
        provides: a path below `folder` that must come out of the archive, and appears there last.
        most: bytes that may come out of it; None for a bound that follows from the archive's size.
        name: the archive as errors name it, where it does not have its final name yet.

    Raises:
        BadArchive: the archive is damaged, lacks `provides`, or has a member that would lie outside; the line
            names it.
        LargeArchive: it unpacks to more than it should.
        UserError: something in `folder` is in the way.
        NotWritten: the disk is full, or has less room than the archive needs, or may not be written to.
        OSError: the archive cannot be read.
    """
    name = name or archive
    temporary = folder / f".{name.name}.unpacking"
    _remove(temporary)  # of a run that was killed
    try:
        make_folder(temporary)
        room = Room.of(archive, name, folder, most)
        with _errors_named(archive, name):
            _extract(archive, temporary, strip, room)
        if provides and not (temporary / provides).exists():
            raise BadArchive(
                f"{name}: has no {provides} in it; it is not the archive that this dataset needs"
            )
        # One call for all files: a power cut after the moves must not leave empty files under their final
        # names.
        os.sync()
        with writing(folder):
            _merge(temporary, folder, PurePosixPath(provides).parts)
            sync_folder(folder)
    finally:
        # Not an error of its own, which would hide the one that led here.
        shutil.rmtree(temporary, ignore_errors=True)


def _remove(folder: Path) -> None:
    if folder.exists():
        with writing(folder):
            shutil.rmtree(folder)


def _extract(archive: Path, folder: Path, strip: int, room: Room) -> None:
    links: dict[Path, Member] = {}
    for member in read_members(archive, room):
        names = _safe_parts(room, member.name)
        if any(map(_is_junk, names)):
            continue
        if not names and member.kind != "folder":
            raise BadArchive(f"{room.name}: a member has no name; refused, and nothing was unpacked")
        # A folder may vanish with what is stripped; a file keeps its name.
        stripped = names[strip:] if member.kind == "folder" else _strip(names, strip)
        path = folder.joinpath(*stripped)
        if member.kind == "link":
            links[path] = member
            continue
        room.spend(member.size)
        with _write_errors_named(room, member, path):
            if member.content is None:
                path.mkdir(parents=True, exist_ok=True)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                shutil.copyfileobj(member.content, file, _CHUNK)
                if file.tell() != member.size:
                    raise tarfile.ReadError("unexpected end of data")
    _copy_links(folder, strip, room, links)


def _is_junk(name: str) -> bool:
    return name in _JUNK or name.startswith("._")


def _copy_links(folder: Path, strip: int, room: Room, links: Mapping[Path, Member]) -> None:
    """Replaces each link by a copy of the file it points to, directly or through other links."""
    targets: dict[Path, Path] = {}
    for path, member in links.items():
        names = _safe_parts(room, member.link, link=member.name)
        targets[path] = folder.joinpath(*_strip(names, strip))
    copied: set[Path] = set()
    for start in links:
        # From a link to the file at the end of its chain, and back: each link is copied once, in any order.
        chain: dict[Path, None] = {}
        path = start
        while path in targets and path not in copied and path not in chain:
            chain[path] = None
            path = targets[path]
        for link in reversed(chain):
            member, target = links[link], targets[link]
            with _write_errors_named(room, member, link):
                if not target.is_file() or (target in chain and target not in copied):
                    raise BadArchive(
                        f"{room.name}: member '{shown(member.name)}' is a link to '{shown(member.link)}', "
                        "which is not a file of the archive; refused"
                    )
                room.spend(target.stat().st_size)
                link.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(target, link)
            copied.add(link)


def _strip(names: tuple[str, ...], strip: int) -> tuple[str, ...]:
    """Drops leading folders of a file's path; it keeps its own name."""
    return names[min(strip, max(len(names) - 1, 0)) :]


def _safe_parts(room: Room, name: str, link: str = "") -> tuple[str, ...]:
    """The parts of a member's path, or of what it links to.

    Raises `BadArchive` where it leads out of the archive's folder, or too deep into it.
    """
    path = PurePosixPath(name)
    member = f"member '{shown(name)}'"
    if link:
        member = f"member '{shown(link)}' is a link to '{shown(name)}', which"
    if path.is_absolute() or ".." in path.parts or "\0" in name or _DRIVE.match(name):
        raise BadArchive(
            f"{room.name}: {member} lies outside the folder to unpack in; refused, and nothing was unpacked"
        )
    if len(path.parts) > _DEEPEST:
        raise BadArchive(
            f"{room.name}: {member} lies in more than {_DEEPEST} folders; refused, and nothing was unpacked"
        )
    return path.parts


@contextmanager
def _write_errors_named(room: Room, member: Member, path: Path) -> Iterator[None]:
    """Turns an error of writing a member into one line: about the member, if it is its fault, or the disk."""
    try:
        yield
    except OSError as error:
        problem = ""
        if error.errno in _CONTRADICTIONS:
            problem = "lies where another member is a file or a folder"
        elif error.errno in _BAD_NAMES:
            problem = f"cannot be written ({error.strerror})"
        if not problem:
            with writing(path):
                raise
        raise BadArchive(
            f"{room.name}: member '{shown(member.name)}' {problem}; refused, and nothing was unpacked"
        ) from error


@contextmanager
def _errors_named(archive: Path, name: Path) -> Iterator[None]:
    """Turns an error in an archive's content into one line that names the archive."""
    try:
        yield
    except (
        tarfile.TarError,
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        EOFError,
        ValueError,
        OverflowError,
        LookupError,
        RuntimeError,
    ) as error:
        # ValueError: a name cannot be decoded. OverflowError, LookupError: numbers and names in headers that
        # the readers do not check. RuntimeError: headers of headers without an end.
        raise BadArchive(f"{name}: damaged or not an archive ({_reason(archive, error)})") from error
    except OSError as error:
        # A bad gzip stream has no number, and a place before the file's beginning is invalid.
        if error.errno not in (None, errno.EINVAL):
            raise
        raise BadArchive(f"{name}: damaged or not an archive ({_reason(archive, error)})") from error


def _reason(archive: Path, error: Exception) -> str:
    if is_web_page(archive):
        return "it is a web page, as a login or a proxy sends it in the place of a file"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    # `tarfile` adds a line for each compression it has tried.
    return printable(first_line(error, 200)).rstrip(":")


def _merge(source: Path, target: Path, last: tuple[str, ...]) -> None:
    """Moves the content of one folder into another, `last` (a path below both) after everything else."""

    def is_last(entry: Path) -> bool:
        return last[:1] == (entry.name,)

    for entry in sorted(source.iterdir(), key=lambda entry: (is_last(entry), entry.name)):
        path = target / entry.name
        if entry.is_dir() and path.is_dir():
            _merge(entry, path, last[1:] if is_last(entry) else ())
            continue
        try:
            entry.replace(path)
        except (IsADirectoryError, NotADirectoryError) as error:
            raise UserError(
                f"{path} is in the way; move it elsewhere and run the same command again"
            ) from error
