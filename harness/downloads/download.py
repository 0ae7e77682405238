"""One address on the network -> one file on disk, resumed where an earlier download broke off.

Bytes go to `NAME.part` beside the destination; `NAME.part.json` remembers which version of the file they
belong to, because half of one version continued with half of the next is a file that nobody ever published.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from http import HTTPStatus
from pathlib import Path
from typing import IO, TYPE_CHECKING

from harness.errors import UserError
from harness.files import remove_files, replacing, sync_folder, try_lock, writing
from harness.version import __version__

if TYPE_CHECKING:
    import requests

Progress = Callable[[str, int, int | None], None]
"""(name of the file, bytes on disk so far, bytes in all if known)."""

TIMEOUT = (15.0, 60.0)
"""Seconds to wait for a connection, and for the next bytes."""

_CHUNK = 1 << 18

_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)$")

# "<urllib3.connection.HTTPSConnection object at 0x7f...>: " or "HTTPSConnection(host='...', port=443): "
_OBJECT = re.compile(r"^(<[^>]*>|\w+\([^)]*\)): ")


class DownloadFailed(UserError):
    """A file could not be had; the bytes that did arrive are kept for the next attempt.

    The caller adds what the user can do instead.

    Attributes:
        status: the server's status code, where that is the reason.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class _Version:
    """The version of a remote file that a partial download belongs to."""

    url: str
    etag: str = ""
    last_modified: str = ""
    total: int | None = None

    @property
    def validator(self) -> str:
        """Value for `If-Range`.

        A weak ETag is left out: it says that two versions mean the same, not that their bytes are equal.
        """
        is_strong = self.etag and not self.etag.startswith("W/")
        return self.etag if is_strong else self.last_modified

    @classmethod
    def of(
        cls,
        url: str,
        response: requests.Response,
        total: int | None,
    ) -> _Version:
        return cls(url, response.headers.get("ETag", ""), response.headers.get("Last-Modified", ""), total)


def part_of(path: Path) -> Path:
    """The file in which the bytes of `path` gather until it is complete."""
    return path.with_name(f"{path.name}.part")


def download(
    url: str,
    path: Path,
    progress: Progress,
    headers: Mapping[str, str] | None = None,
) -> Path:
    """Downloads into `part_of(path)`, going on where an earlier attempt stopped, and returns it once it is
    complete.

    Args:
        headers: sent along, such as a token; an authorization is not passed on to another host.

    Raises:
        DownloadFailed: the server does not answer, or not with the file, or the connection broke off.
        NotWritten: this machine cannot store it; what has arrived is kept.
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
                _complete(url, file, part, headers or {}, report)
            except DownloadFailed:
                # An empty file would look like progress.
                if part.stat().st_size == 0:
                    part.unlink()
                raise
    return part


def finish_download(part: Path, path: Path) -> None:
    """Puts a complete download in its place."""
    with writing(path):
        part.replace(path)
        sync_folder(path.parent)
    # The notes last: a kill before that leaves a file too many, and not a part of unknown version.
    remove_files([_notes(part)])


def discard_download(part: Path) -> None:
    """Throws away a complete download that is not the file it should be."""
    remove_files([part, _notes(part)])


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
) -> None:
    import requests

    known = _read_notes(_notes(part), url)
    size = part.stat().st_size
    if known and size and size == known.total:
        return  # only the renaming was missing
    try:
        with requests.Session() as session:
            session.headers.update(headers)
            # Without a validator nothing tells whether the server still has the same file: start over.
            if known and size and known.validator:
                with _ask(session, url, size, known) as response:
                    total = _total_if_continued(response, size, known)
                    if total is not None:
                        return _receive(response, file, size, total, progress)
            with _ask(session, url) as response:
                total = _length(response)
                _begin(file, _notes(part), _Version.of(url, response, total))
                _receive(response, file, 0, total, progress)
    except requests.RequestException as error:
        raise DownloadFailed(f"{url}: {_innermost_reason(error)}") from error


def _ask(
    session: requests.Session,
    url: str,
    start: int = 0,
    known: _Version | None = None,
) -> requests.Response:
    """The server's answer, whose body is still to come: the file, or what follows `start` of the version we
    have.

    Raises `DownloadFailed` where it is neither. A server that has another version, or no more bytes, may say
    so in several ways.
    """
    # Without compression: ranges count the bytes that are sent.
    headers = {
        "Accept-Encoding": "identity",
        "User-Agent": f"correspondence-bench/{__version__}",
    }
    if known:
        headers |= {"Range": f"bytes={start}-", "If-Range": known.validator}
    response = session.get(url, headers=headers, stream=True, timeout=TIMEOUT)
    accepted = [HTTPStatus.OK]
    if known:
        accepted += [HTTPStatus.PARTIAL_CONTENT, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE]
    if response.status_code not in accepted:
        response.close()
        raise DownloadFailed(
            f"{url}: the server answers {response.status_code} {response.reason}".rstrip(),
            response.status_code,
        )
    # Pages of logins, proxies and moved files come with status 200.
    if response.headers.get("Content-Type", "").startswith("text/html"):
        response.close()
        raise DownloadFailed(f"{url}: the server answers with a web page instead of the file")
    return response


def _total_if_continued(response: requests.Response, start: int, known: _Version) -> int | None:
    """Size of the complete file, if the answer goes on with the version we have from where we stopped; None
    where we must start over.
    """
    match = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
    if not match or response.status_code != HTTPStatus.PARTIAL_CONTENT or int(match[1]) != start:
        return None
    total = int(match[3])
    # Servers that do not know If-Range send a part of whatever is there now.
    now = _Version.of(known.url, response, total)
    same = (
        now.etag in ("", known.etag)
        and now.last_modified in ("", known.last_modified)
        and known.total in (None, total)
    )
    return total if same else None


def _begin(file: IO[bytes], notes: Path, version: _Version) -> None:
    # In this order: notes of the new version beside bytes of the old one would join them.
    file.truncate(0)
    with replacing(notes) as out:
        out.write(json.dumps(asdict(version)).encode())


def _receive(
    response: requests.Response,
    file: IO[bytes],
    start: int,
    total: int | None,
    progress: Callable[[int, int | None], None],
) -> None:
    import urllib3.exceptions

    done = start
    broken = ""
    progress(done, total)
    try:
        # The raw stream, since requests would unpack a .tar.gz that a server declares as compressed in
        # transit.
        for chunk in response.raw.stream(_CHUNK, decode_content=False):
            file.write(chunk)
            done += len(chunk)
            progress(done, total)
    except urllib3.exceptions.HTTPError as error:
        broken = _innermost_reason(error)
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


def _length(response: requests.Response) -> int | None:
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isdecimal() else None


def _notes(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _read_notes(notes: Path, url: str) -> _Version | None:
    """Reads the version that a partial download belongs to; None where it is unknown."""
    try:
        content = json.loads(notes.read_text(encoding="utf-8"))
        version = _Version(**content)
    except (FileNotFoundError, json.JSONDecodeError, UnicodeDecodeError, TypeError):
        return None
    return version if version.url == url else None


def _innermost_reason(error: BaseException) -> str:
    """The innermost cause, in one line, without the objects it passed through."""
    import urllib3.exceptions

    # requests wraps urllib3's errors as arguments, urllib3 those of the socket as `reason`.
    while True:
        causes = [cause for cause in error.args if isinstance(cause, BaseException)]
        inner = getattr(error, "reason", None) or next(iter(causes), None)
        if not isinstance(inner, BaseException):
            break
        error = inner
    # A refused connection and an unknown name are subclasses of the timeout.
    if type(error) is urllib3.exceptions.ConnectTimeoutError:
        return f"no connection within {TIMEOUT[0]:g} s"
    if isinstance(error, urllib3.exceptions.ReadTimeoutError):
        return f"no answer for {TIMEOUT[1]:g} s"
    return " ".join(_OBJECT.sub("", str(error)).split()) or type(error).__name__
