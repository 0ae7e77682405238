"""One address on the network -> one file on disk, resumed where an earlier download broke off.

Bytes go to `NAME.part` beside the destination; `NAME.part.json` remembers which version of the file they
belong to, because half of one version continued with half of the next is a file that nobody ever published.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING
from urllib.parse import urlsplit

from harness.downloads.bounds import check_free
from harness.downloads.http import BrokenOff, DownloadFailed, ask, read_pieces, refuse_other_answers
from harness.downloads.notes import (
    Version,
    content_length,
    content_range,
    notes_path,
    read_notes,
    write_notes,
)
from harness.downloads.web_pages import is_web_page
from harness.errors import UserError
from harness.files import remove_files, sync_folder, try_lock, writing

if TYPE_CHECKING:
    import requests

Progress = Callable[[str, int, int | None], None]
"""(name of the file, bytes on disk so far, bytes in all if known)."""

Note = Callable[[str], None]
"""Takes a line that the user should read and that stops nothing."""

_COMPRESSED_NAMES = (".gz", ".tgz", ".bz2", ".xz", ".z", ".zip")
"""Ends of names of files that are compressed themselves, which some servers call compressed in transit."""


def part_of(path: Path) -> Path:
    """The file in which the bytes of `path` gather until it is complete."""
    return path.with_name(f"{path.name}.part")


def download(
    url: str,
    path: Path,
    progress: Progress,
    headers: Mapping[str, str] | None = None,
    *,
    note: Note = lambda _: None,
    is_checked: bool = False,
) -> Path:
    """Downloads into `part_of(path)`, going on where an earlier attempt stopped, and returns it once it is
    complete.

    Args:
        headers: sent along, such as a token; an authorization is not passed on to another host.
        note: gets a line where an earlier attempt cannot be used, or where nothing shows whether the file is
            whole.
        is_checked: the caller will see whether the file is whole, by its hash or because it is an archive.

    Raises:
        DownloadFailed: the server does not answer, or not with the file, or too slowly, or the connection
            broke off.
        NotWritten: this machine cannot store it, or has too little room for it; what has arrived is kept.
    """
    part = part_of(path)

    def report(done: int, total: int | None) -> None:
        progress(path.name, done, total)

    with writing(part):
        part.parent.mkdir(parents=True, exist_ok=True)
        # Opened to append, which keeps what is there; locked before its size is looked at.
        with part.open("ab") as file:
            _lock(file, part)
            try:
                is_length_known = _complete(url, file, part, headers or {}, report, note, is_checked)
            except (DownloadFailed, OSError):
                # An empty file would look like progress.
                if part.stat().st_size == 0:
                    discard_download(part)
                raise
    with writing(part):  # a folder that is taken away meanwhile
        is_page = is_web_page(part)
    if is_page and not path.name.endswith((".html", ".htm")):
        discard_download(part)
        raise DownloadFailed(f"{url}: the server sends a web page instead of the file")
    if not (is_length_known or is_checked):
        note(
            f"{path}: is not verified: the server does not say how long it is, and no hash is known, "
            "so that a file that was cut off would not show"
        )
    return part


def finish_download(part: Path, path: Path) -> None:
    """Puts a complete download in its place."""
    with writing(path):
        part.replace(path)
        sync_folder(path.parent)
    # The notes last: a kill before that leaves a file too many, and not a part of unknown version.
    remove_files([notes_path(part)])


def forget_download(path: Path) -> None:
    """Removes what a fetch that was killed at its very end has left beside a complete file: its notes."""
    part = part_of(path)
    # Notes beside a part are of a download that goes on. The folder may be there for reading alone.
    if not part.exists():
        with suppress(OSError):
            notes_path(part).unlink(missing_ok=True)


def discard_download(part: Path) -> None:
    """Throws away a download that is not the file it should be, or that is not needed any more."""
    remove_files([part, notes_path(part)])


def _lock(file: IO[bytes], part: Path) -> None:
    try:
        # Without locks the download goes on: what it fetched is checked before it is put in place.
        try_lock(file.fileno())
    except BlockingIOError as error:
        raise UserError(f"{part} is being downloaded by another process; wait until it is done") from error


def _complete(
    url: str,
    file: IO[bytes],
    part: Path,
    headers: Mapping[str, str],
    progress: Callable[[int, int | None], None],
    note: Note,
    is_checked: bool,
) -> bool:
    """Brings what is missing of a file. Returns whether the server said how long the whole is."""
    size = part.stat().st_size
    known = _known_version(part, url, size, note)
    if known and size and size == known.total:
        return True  # only the renaming was missing
    # Without a validator nothing tells whether the server still has the same file: start over.
    if known and size and known.validator:
        wanted = {**headers, "Range": f"bytes={size}-", "If-Range": known.validator}
        with ask(url, wanted) as response:
            statuses = [HTTPStatus.PARTIAL_CONTENT, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE]
            refuse_other_answers(url, response, [HTTPStatus.OK, *statuses])
            total = _total_if_continued(response, size, known)
            if total is not None:
                _receive(response, file, part, size, total, progress)
                return True
    with ask(url, headers) as response:
        refuse_other_answers(url, response, [HTTPStatus.OK])
        _refuse_compression(url, response)
        total = content_length(response.headers)
        version = Version.of(url, response.headers, total)
        # In this order: notes of the new version beside bytes of the old one would join them.
        file.truncate(0)
        write_notes(part, version)
        done = _receive(response, file, part, 0, total, progress)
        # Of another the next run could not say that nothing has verified it.
        if total is None and is_checked:
            write_notes(part, replace(version, total=done))
        return total is not None


def _known_version(part: Path, url: str, size: int, note: Note) -> Version | None:
    try:
        return read_notes(part, url)
    except ValueError as error:
        # Not of an empty file, of which nothing is lost.
        if size:
            note(f"{part}: is begun anew, since {notes_path(part).name} beside it is damaged ({error})")
        return None


def _refuse_compression(url: str, response: requests.Response) -> None:
    """Raises where the file would arrive compressed, which was not asked for."""
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    name = PurePosixPath(urlsplit(url).path).name.lower()
    if encoding not in ("", "identity") and not name.endswith(_COMPRESSED_NAMES):
        raise DownloadFailed(f"{url}: the server sends it compressed, against what it was asked for")


def _total_if_continued(response: requests.Response, start: int, known: Version) -> int | None:
    """Size of the complete file, if the answer goes on with the version we have from where we stopped; None
    where we must start over.
    """
    sent = content_range(response.headers)
    if sent is None or response.status_code != HTTPStatus.PARTIAL_CONTENT or sent.start != start:
        return None
    # Servers that do not know If-Range send a part of whatever is there now.
    now = Version.of(known.url, response.headers, sent.total)
    same = (
        now.etag in ("", known.etag)
        and now.last_modified in ("", known.last_modified)
        and known.total in (None, sent.total)
    )
    return sent.total if same else None


def _receive(
    response: requests.Response,
    file: IO[bytes],
    part: Path,
    start: int,
    total: int | None,
    progress: Callable[[int, int | None], None],
) -> int:
    """Appends a body to a file, and returns the bytes that it then has."""
    done = start
    broken = ""
    if total is not None:
        check_free(part, total - start)
    progress(done, total)
    try:
        for piece in read_pieces(response):
            if total is not None and done + len(piece) > total:
                raise BrokenOff("the server sends more than that")
            file.write(piece)
            done += len(piece)
            progress(done, total)
    except BrokenOff as error:
        broken = str(error)
    # Also after a broken connection: the next attempt counts on the bytes that are there.
    file.flush()
    os.fsync(file.fileno())
    if broken or total not in (None, done):
        expected = "" if total is None else f" of {total:,}"
        because = f" ({broken})" if broken else ""
        raise DownloadFailed(
            f"{response.url}: the connection broke off after {done:,}{expected} bytes{because}; "
            "the same command goes on from there"
        )
    return done
