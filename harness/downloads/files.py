"""Remote files fetched into a folder: downloaded, checked, unpacked and recorded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal
from urllib.parse import unquote, urlsplit

from harness.downloads.archives import BadArchive, unpack
from harness.downloads.download import DownloadFailed, Progress, download, finish_download
from harness.errors import UserError
from harness.files import file_sha256, remove_files, replacing, writing
from harness.specs import RemoteFile


@dataclass(frozen=True)
class FetchedFile:
    """Result of fetching one file.

    Attributes:
        path: the file or archive; for one that was already there, the path that it provides.
        how: `there` before, put there `by hand`, or `downloaded`.
        size: bytes of the file or archive; 0 for one that was already there.
        sha256: hex digest of the same.
        changed: True where an earlier fetch recorded another digest: the authors have replaced the file.
    """

    path: Path
    how: Literal["there", "by hand", "downloaded"]
    size: int = 0
    sha256: str = ""
    changed: bool = False


def is_present(file: RemoteFile, folder: Path) -> bool:
    """True where a file has been fetched before, or put there by hand and unpacked."""
    provided = file.provides or ("" if file.unpack else file.path)
    return bool(provided) and (folder / provided).exists()


def download_path(file: RemoteFile, folder: Path) -> Path:
    """Path of a downloaded file: its final path, or that of the archive to unpack."""
    if not file.unpack:
        return folder / file.path
    return folder / unquote(PurePosixPath(urlsplit(file.url).path).name)


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
        UserError: a file cannot be had, or is not the expected one.
        NotWritten: a full or read-only disk. What has arrived is kept.
    """
    for number, file in enumerate(files):
        if is_present(file, folder):
            yield FetchedFile(folder / (file.provides or file.path), "there")
            continue
        try:
            yield _fetch_file(file, folder, progress, keep_archives)
        except DownloadFailed as error:
            raise UserError(f"{owner}: {error}; or {_by_hand(files[number:], folder)}") from error


def _fetch_file(
    file: RemoteFile,
    folder: Path,
    progress: Progress,
    keep_archives: bool,
) -> FetchedFile:
    path = download_path(file, folder)
    # A download in progress has another name: an archive that is here is whole, and needs no download.
    by_hand = file.unpack and path.is_file()
    if by_hand:
        digest = _check_sha256(path, file, folder)
    else:
        part = download(file.url, path, progress)
        # Before it gets its name, under which it would count as present.
        digest = _check_sha256(part, file, folder)
        finish_download(part, path)
    # Without a published hash, the one of an earlier fetch is all there is to compare with.
    changed = not file.sha256 and _record_sha256(path, digest)
    size = path.stat().st_size
    if file.unpack:
        _unpack(file, path, folder)
        if not (keep_archives or by_hand):
            remove_files([path])
    how: Literal["by hand", "downloaded"] = "by hand" if by_hand else "downloaded"
    return FetchedFile(path, how, size, digest, changed)


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
    try:
        # What `unpack` does not name itself, such as the archive's own bytes that cannot be read.
        with writing(archive):
            unpack(archive, target, strip=file.strip, provides=provides)
    except BadArchive as error:
        raise UserError(f"{error}; {_set_aside(archive, file, folder)}") from error


def _set_aside(path: Path, file: RemoteFile, folder: Path) -> str:
    """Moves a useless file away, lest the next run take it for the right one. It may be the user's, so it is
    kept.

    Returns the end of a message that says so.
    """
    final_path = download_path(file, folder)
    aside = final_path.with_name(f"{final_path.name}.damaged")
    with writing(aside):
        path.replace(aside)
    return f"moved to {aside}; the same command downloads it anew, or {_by_hand([file], folder)}"


def _record_sha256(path: Path, digest: str) -> bool:
    """Writes the digest beside the file, as sha256sum does. True where an earlier one differed."""
    record = path.with_name(f"{path.name}.sha256")
    earlier = record.read_text(encoding="utf-8").split()[:1] if record.is_file() else []
    with replacing(record) as out:
        out.write(f"{digest}  {path.name}\n".encode())
    return bool(earlier) and earlier != [digest]


def _by_hand(files: Sequence[RemoteFile], folder: Path) -> str:
    """The way without this program, as the end of a message. It names every missing file at once."""
    wanted: list[str] = []
    for file in files:
        if not is_present(file, folder):
            wanted.append(f"{file.url} to {download_path(file, folder)}")
    return f"download by hand {' and '.join(wanted)}, then run the same command again"
