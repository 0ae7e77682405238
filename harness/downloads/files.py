"""Remote files fetched into a folder: downloaded, checked, unpacked and recorded."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal
from urllib.parse import unquote, urlsplit

from harness.downloads.archives import unpack
from harness.downloads.bounds import BadArchive, LargeArchive
from harness.downloads.download import (
    Note,
    Progress,
    discard_download,
    download,
    finish_download,
    forget_download,
    part_of,
)
from harness.downloads.holding import holding
from harness.downloads.http import DownloadFailed
from harness.downloads.notes import notes_path
from harness.errors import UserError
from harness.files import file_sha256, remove_files, replacing, writing
from harness.specs import RemoteFile

_DIGEST = re.compile(rb"([0-9A-Fa-f]{64})(?:\s|$)")
"""A line of sha256sum's."""

_DIGEST_BYTES = 65


@dataclass(frozen=True)
class FetchedFile:
    """Result of fetching one file.

    Attributes:
        path: the file or archive; for one that was already there, the path that it provides.
        how: `there` before, put there `by hand`, or `downloaded`.
        size: bytes of the file or archive; 0 for one that was already there.
        sha256: hex digest of the same.
        changed: True where an earlier fetch recorded another digest: the authors have replaced the file.
        notes: what the user should know of it, one line each, such as that nothing shows whether it is whole.
    """

    path: Path
    how: Literal["there", "by hand", "downloaded"]
    size: int = 0
    sha256: str = ""
    changed: bool = False
    notes: tuple[str, ...] = ()


def is_present(file: RemoteFile, folder: Path) -> bool:
    """True where a file has been fetched before, or put there by hand and unpacked."""
    provided = file.provides or ("" if file.unpack else file.path)
    return bool(provided) and (folder / provided).exists()


def download_path(file: RemoteFile, folder: Path) -> Path:
    """Path of a downloaded file: its final path, or that of the archive to unpack."""
    if not file.unpack:
        return folder / file.path
    # Once more: what was quoted may be a path.
    name = PurePosixPath(unquote(PurePosixPath(urlsplit(file.url).path).name)).name
    if name in ("", "..") or "\0" in name:
        raise UserError(f"{file.url}: the address of an archive ends in its name, and this one does not")
    return folder / name


def fetch_files(
    owner: str,
    files: Sequence[RemoteFile],
    folder: Path,
    progress: Progress,
    *,
    keep_archives: bool = False,
) -> Iterator[FetchedFile]:
    """Fetches those of several files that a folder lacks, one after the other, and unpacks archives.

    Args:
        owner: dataset or weight source that errors begin with.
        keep_archives: leave downloaded archives beside what was unpacked. One that was put there by hand is
            always left.

    Raises:
        UserError: a file cannot be had, or is not the expected one, or another process fetches into the
            folder.
        NotWritten: a full or read-only disk. What has arrived is kept.
    """
    is_held = False
    with ExitStack() as stack:
        for number, file in enumerate(files):
            # What is there needs no lock: the folder may be a shared one, for reading alone.
            if not is_present(file, folder) and not is_held:
                stack.enter_context(holding(folder))
                is_held = True
            # Once more: the process that held the folder may just have brought it.
            if is_present(file, folder):
                forget_download(download_path(file, folder))
                yield FetchedFile(folder / (file.provides or file.path), "there")
                continue
            try:
                # A folder that is taken away meanwhile.
                with writing(download_path(file, folder)):
                    fetched = _fetch_file(file, folder, progress, keep_archives)
                yield fetched
            except DownloadFailed as error:
                raise UserError(f"{owner}: {error}; or {_by_hand(files[number:], folder)}") from error


def _fetch_file(
    file: RemoteFile,
    folder: Path,
    progress: Progress,
    keep_archives: bool,
) -> FetchedFile:
    path = download_path(file, folder)
    notes: list[str] = []
    # A download has another name until it is unpacked: an archive that is here was put here by hand.
    by_hand = file.unpack and path.is_file()
    content = path
    if not by_hand:
        is_checked = file.unpack or bool(file.sha256)
        content = download(file.url, path, progress, note=notes.append, is_checked=is_checked)
    # Before it gets its name, under which it would count as present.
    digest = _check_sha256(content, file, folder)
    size = content.stat().st_size
    # Without a published hash, the one of an earlier fetch is all there is to compare with. Before the file
    # counts as present: a fetch that is cut short here is begun again.
    changed = not file.sha256 and _record_sha256(path, digest, notes.append)
    if file.unpack:
        _unpack(file, content, folder)
    if not by_hand:
        if keep_archives or not file.unpack:
            finish_download(content, path)
        else:
            discard_download(content)
    how: Literal["by hand", "downloaded"] = "by hand" if by_hand else "downloaded"
    return FetchedFile(path, how, size, digest, changed, tuple(notes))


def _check_sha256(path: Path, file: RemoteFile, folder: Path) -> str:
    """Returns a file's sha256.

    Raises `UserError` where another one is expected, and moves the file out of the way.
    """
    digest = file_sha256(path)
    if file.sha256 and digest != file.sha256.lower():
        final_path = download_path(file, folder)
        raise UserError(
            f"{final_path}: its sha256 is {digest}, expected {file.sha256}; {_set_aside(path, file, folder)}"
        )
    return digest


def _unpack(file: RemoteFile, archive: Path, folder: Path) -> None:
    target = folder / file.path
    provides = ""
    if file.provides:
        provides = str(PurePosixPath(file.provides).relative_to(file.path))
    path = download_path(file, folder)
    try:
        # What `unpack` does not name itself, such as the archive's own bytes that cannot be read.
        with writing(archive):
            unpack(archive, target, strip=file.strip, provides=provides, most=file.unpacked_bytes, name=path)
    except BadArchive as error:
        raise UserError(f"{error}; {_set_aside(archive, file, folder)}") from error
    except LargeArchive:
        # Under its name, where the user finds it.
        if archive != path:
            finish_download(archive, path)
        raise


def _set_aside(path: Path, file: RemoteFile, folder: Path) -> str:
    """Moves a useless file away, lest the next run take it for the right one. It may be the user's, so it is
    kept.

    Returns the end of a message that says so.
    """
    final_path = download_path(file, folder)
    aside = final_path.with_name(f"{final_path.name}.damaged")
    with writing(aside):
        path.replace(aside)
    remove_files([notes_path(part_of(final_path))])
    return f"moved to {aside}; the same command downloads it anew, or {_by_hand([file], folder)}"


def _record_sha256(path: Path, digest: str, note: Note) -> bool:
    """Writes the digest beside the file, as sha256sum does. True where an earlier one differed."""
    record = path.with_name(f"{path.name}.sha256")
    earlier = ""
    if record.is_file():
        with record.open("rb") as file:
            match = _DIGEST.match(file.read(_DIGEST_BYTES))
        if match:
            earlier = match[1].decode().lower()
        else:
            note(f"{record}: was damaged, so that nothing shows whether the file is that of an earlier fetch")
    with replacing(record) as out:
        out.write(f"{digest}  {path.name}\n".encode())
    return earlier not in ("", digest)


def _by_hand(files: Sequence[RemoteFile], folder: Path) -> str:
    """The way without this program, as the end of a message. It names every missing file at once."""
    wanted: list[str] = []
    for file in files:
        if not is_present(file, folder):
            wanted.append(f"{file.url} to {download_path(file, folder)}")
    return f"download by hand {' and '.join(wanted)}, then run the same command again"
