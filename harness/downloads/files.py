"""Remote files fetched into a folder: downloaded, checked, unpacked and recorded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal
from urllib.parse import unquote, urlsplit

from harness.downloads.archives import BadArchive, unpack
from harness.downloads.download import DownloadFailed, Progress, download, finish_download, name_in_error
from harness.errors import UserError
from harness.files import file_sha256, replacing
from harness.specs import RemoteFile


@dataclass(frozen=True)
class FetchedFile:
    """What became of one file.

    Attributes:
        place: the file or archive; for one that was already there, what it provides.
        how: `there` before, put there `by hand`, or `downloaded`.
        size: bytes of the file or archive; 0 for one that was already there.
        sha256: hex digest of the same.
        changed: whether an earlier fetch recorded another digest: the authors have replaced the file.
    """

    place: Path
    how: Literal["there", "by hand", "downloaded"]
    size: int = 0
    sha256: str = ""
    changed: bool = False


def is_present(file: RemoteFile, folder: Path) -> bool:
    """Whether a file of a dataset has been fetched before, or put there by hand and unpacked."""
    provided = file.provides or ("" if file.unpack else file.path)
    return bool(provided) and (folder / provided).exists()


def download_path(file: RemoteFile, folder: Path) -> Path:
    """Where a downloaded file belongs: its final path, or that of the archive to unpack."""
    return (
        folder / unquote(PurePosixPath(urlsplit(file.url).path).name) if file.unpack else folder / file.path
    )


def fetch_files(
    owner: str, files: Sequence[RemoteFile], folder: Path, progress: Progress, *, keep_archives: bool = False
) -> Iterator[FetchedFile]:
    """Gets what is lacking of somebody's files: see `fetch`. Errors begin with the owner."""
    for number, file in enumerate(files):
        if is_present(file, folder):
            yield FetchedFile(folder / (file.provides or file.path), "there")
            continue
        try:
            yield _obtain(file, folder, progress, keep_archives)
        except DownloadFailed as error:
            raise UserError(f"{owner}: {error}; or {_by_hand(files[number:], folder)}") from error


def _obtain(file: RemoteFile, folder: Path, progress: Progress, keep_archives: bool) -> FetchedFile:
    place = download_path(file, folder)
    by_hand = file.unpack and place.is_file()
    if by_hand:
        digest = _check(place, file, folder)
    else:
        part = download(file.url, place, progress)
        digest = _check(part, file, folder)
        finish_download(part, place)
    changed = not file.sha256 and _record(place, digest)
    size = place.stat().st_size
    if file.unpack:
        _unpack(file, place, folder)
        if not (keep_archives or by_hand):
            place.unlink()
    return FetchedFile(place, "by hand" if by_hand else "downloaded", size, digest, changed)


def _check(path: Path, file: RemoteFile, folder: Path) -> str:
    """A file's sha256. Raises `UserError` where another one is expected, and moves the file out of the
    way.
    """
    digest = file_sha256(path)
    if file.sha256 and digest != file.sha256.lower():
        place = download_path(file, folder)
        raise UserError(
            f"{place}: its sha256 is {digest}, expected {file.sha256}; {_set_aside(path, file, folder)}"
        )
    return digest


def _unpack(file: RemoteFile, place: Path, folder: Path) -> None:
    target = folder / file.path
    provides = str(PurePosixPath(file.provides).relative_to(file.path)) if file.provides else ""
    try:
        with name_in_error(target):
            unpack(place, target, strip=file.strip, provides=provides)
    except BadArchive as error:
        raise UserError(f"{error}; {_set_aside(place, file, folder)}") from error


def _set_aside(path: Path, file: RemoteFile, folder: Path) -> str:
    """Moves a useless file away, lest the next run take it for the right one. It may be the user's, so it is
    kept.

    Returns what to tell the user.
    """
    place = download_path(file, folder)
    aside = path.replace(place.with_name(f"{place.name}.damaged"))
    return f"moved to {aside}; the same command downloads it anew, or {_by_hand([file], folder)}"


def _record(place: Path, digest: str) -> bool:
    """Writes the digest beside the file, as sha256sum does; tells whether an earlier one differed."""
    path = place.with_name(f"{place.name}.sha256")
    earlier = path.read_text(encoding="utf-8").split()[:1] if path.is_file() else []
    with replacing(path) as out:
        out.write(f"{digest}  {place.name}\n".encode())
    return bool(earlier) and earlier != [digest]


def _by_hand(files: Sequence[RemoteFile], folder: Path) -> str:
    """What to do without this program: all that is missing, so that it need be told only once."""
    wanted = [
        f"{file.url} to {download_path(file, folder)}" for file in files if not is_present(file, folder)
    ]
    return f"download by hand {' and '.join(wanted)}, then run the same command again"
