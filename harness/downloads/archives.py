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
import posixpath
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Literal

from harness.errors import UserError
from harness.files import make_folder, sync_folder, writing
from harness.messages import first_line

_JUNK = ("__MACOSX", ".DS_Store")
"""Left by the archiver of macOS, as are files that begin with `._`: SD4Match's archives have them."""

_CONTRADICTION = (errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.EINVAL, errno.ENAMETOOLONG)
"""Errors that an archive's own content makes: a file where another member wants a folder, or a name that no
file can have. Any other error of the system is the machine's, and the archive may be good.
"""


class BadArchive(UserError):
    """An archive that is damaged or reaches outside its folder. Nothing of it has been unpacked."""


@dataclass(frozen=True)
class _Member:
    """One entry of an archive.

    Attributes:
        link: for a link, the name of the member it points to, normalised.
        content: for a file, its bytes; open until the next member is asked for.
    """

    name: str
    kind: Literal["file", "folder", "link"]
    content: IO[bytes] | None = None
    link: str = ""


def unpack(
    archive: Path,
    folder: Path,
    *,
    strip: int = 0,
    provides: str = "",
) -> None:
    """Unpacks a .zip or .tar (.gz, .bz2, .xz) into a folder, whose other content stays.

    Args:
        strip: number of leading folders to drop from the members' names; a file keeps at least its own name.
        provides: a path below `folder` that must come out of the archive, and appears there last.

    Raises:
        BadArchive: the archive is damaged, lacks `provides`, or has a member that would lie outside; the line
            names it.
        UserError: something in `folder` is in the way.
        NotWritten: the disk is full, or may not be written to.
        OSError: the archive cannot be read.
    """
    temporary = folder / f".{archive.name}.unpacking"
    _remove(temporary)  # of a run that was killed
    try:
        make_folder(temporary)
        _extract(archive, temporary, strip)
        if provides and not (temporary / provides).exists():
            raise BadArchive(
                f"{archive}: has no {provides} in it; it is not the archive that this dataset needs"
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


def _extract(archive: Path, folder: Path, strip: int) -> None:
    links: list[tuple[_Member, Path]] = []
    with _errors_named(archive):
        for member in _members(archive):
            names = _safe_path(archive, member.name).parts
            if any(map(_is_junk, names)):
                continue
            # A folder may vanish with what is stripped; a file keeps its name.
            stripped = names[strip:] if member.kind == "folder" else _strip(names, strip)
            path = folder.joinpath(*stripped)
            if member.kind == "link":
                links.append((member, path))
            elif member.content is None:
                _make_folder(path)
            else:
                _write_file(path, member.content)
        _copy_links(archive, folder, strip, links)


def _make_folder(path: Path) -> None:
    with _writing(path):
        path.mkdir(parents=True, exist_ok=True)


def _write_file(path: Path, content: IO[bytes]) -> None:
    _make_folder(path.parent)
    with _writing(path), path.open("wb") as file:
        shutil.copyfileobj(content, file, 1 << 20)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """As `writing`, but for errors that the archive's own content makes."""
    try:
        yield
    except OSError as error:
        if error.errno in _CONTRADICTION:
            raise
        with writing(path):
            raise


def _is_junk(name: str) -> bool:
    return name in _JUNK or name.startswith("._")


def _copy_links(
    archive: Path,
    folder: Path,
    strip: int,
    links: list[tuple[_Member, Path]],
) -> None:
    """Replaces each link by a copy of the file it points to, directly or through other links."""
    while links:
        waiting = []
        for member, path in links:
            names = _safe_path(archive, member.link, link=member.name).parts
            target = folder.joinpath(*_strip(names, strip))
            if target.is_file():
                _make_folder(path.parent)
                with _writing(path):
                    shutil.copyfile(target, path)
            else:
                waiting.append((member, path))
        # Nothing was copied in this round: what is left points nowhere, or in a circle.
        if len(waiting) == len(links):
            member, _ = waiting[0]
            raise BadArchive(
                f"{archive}: member '{member.name}' is a link to '{member.link}', "
                "which is not a file of the archive; refused"
            )
        links = waiting


def _strip(names: tuple[str, ...], strip: int) -> tuple[str, ...]:
    """Drops leading folders of a file's path; it keeps its own name."""
    return names[min(strip, max(len(names) - 1, 0)) :]


def _safe_path(archive: Path, name: str, link: str = "") -> PurePosixPath:
    """A member's path, or that of what it links to. Raises `BadArchive` where it leads out of the archive's
    folder.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name:
        member = f"member '{link}' is a link to '{name}', which" if link else f"member '{name}'"
        raise BadArchive(
            f"{archive}: {member} lies outside the folder to unpack in; refused, and nothing was unpacked"
        )
    return path


def _members(archive: Path) -> Iterator[_Member]:
    # By content: what a server calls the file says little.
    with archive.open("rb") as file:
        is_zip = file.read(2) == b"PK"
    yield from _zip_members(archive) if is_zip else _tar_members(archive)


def _zip_members(archive: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(archive) as file:
        for info in file.infolist():
            name = info.filename.replace("\\", "/")  # some tools on Windows write these
            # Only Unix (3) stores a file's type; 0 stands for a plain file.
            kind = stat.S_IFMT(info.external_attr >> 16) if info.create_system == 3 else 0
            if info.is_dir() or name.endswith("/"):
                yield _Member(name, "folder")
            elif kind == stat.S_IFLNK:
                # The content of a link is the path that it points to.
                target = file.read(info).decode("utf-8", "surrogateescape")
                yield _Member(name, "link", link=_link_target(name, target))
            elif kind in (0, stat.S_IFREG):
                with file.open(info) as content:
                    yield _Member(name, "file", content)
            else:
                raise BadArchive(
                    f"{archive}: member '{name}' is neither file nor folder; "
                    "refused, and nothing was unpacked"
                )


def _tar_members(archive: Path) -> Iterator[_Member]:
    with tarfile.open(archive) as tar:
        for info in tar:
            if info.isdir():
                yield _Member(info.name, "folder")
            elif info.issym():
                yield _Member(info.name, "link", link=_link_target(info.name, info.linkname))
            elif info.islnk():  # a hard link, whose target is named from the archive's root
                yield _Member(info.name, "link", link=posixpath.normpath(info.linkname))
            elif info.isreg():
                content = tar.extractfile(info)
                if content is None:
                    raise BadArchive(f"{archive}: member '{info.name}' has no content")
                with closing(content):
                    yield _Member(info.name, "file", content)
            else:
                raise BadArchive(
                    f"{archive}: member '{info.name}' is neither file nor folder; "
                    "refused, and nothing was unpacked"
                )
        _check_end(tar)


def _check_end(tar: tarfile.TarFile) -> None:
    """Raises where the archive was cut between two members, which `tarfile` takes for its end, or fails its
    checksum.
    """
    if tar.fileobj is None:
        raise tarfile.ReadError("closed")
    tar.fileobj.seek(tar.offset)
    if tar.fileobj.read(tarfile.BLOCKSIZE) != tarfile.NUL * tarfile.BLOCKSIZE:
        raise tarfile.ReadError("unexpected end of data")
    while tar.fileobj.read(1 << 20):
        pass  # the checksum of a compressed stream is at its very end


def _link_target(name: str, target: str) -> str:
    """Target of a symbolic link, as a member's name. An absolute target stays absolute."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(name), target))


@contextmanager
def _errors_named(archive: Path) -> Iterator[None]:
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
        RuntimeError,
    ) as error:
        # ValueError: a name cannot be decoded. RuntimeError: a zip is encrypted, or compressed in a way this
        # Python does not know.
        raise BadArchive(f"{archive}: damaged or not an archive ({_reason(error)})") from error
    except OSError as error:
        # A bad gzip stream has no errno.
        if error.filename == str(archive) or error.errno not in (None, *_CONTRADICTION):
            raise
        raise BadArchive(f"{archive}: damaged or not an archive ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    # `tarfile` adds a line for each compression it has tried.
    return first_line(error).rstrip(":")


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
