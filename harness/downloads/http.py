"""Requests to servers that are not trusted: where they lead, how long they take, what they answer with."""

from __future__ import annotations

import queue
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from harness.errors import UserError
from harness.messages import bytes_text, printable
from harness.version import __version__

if TYPE_CHECKING:
    import requests

TIMEOUT = (15.0, 60.0)
"""Seconds to wait for a connection, and for the next bytes."""

ANSWER_LIMIT = 120.0
"""Seconds until the header of an answer is there, however slowly it comes."""

WINDOW = 60.0
"""Seconds of waiting for bytes after which the pace is looked at."""

LEAST_BYTES = 30_000
"""Bytes that must arrive in `WINDOW`: a tenth of what the slowest of lines brings."""

MOST_REDIRECTS = 20

_CHUNK = 1 << 18

_LONGEST_TEXT = 200
"""Characters of an address or of a server's reason that are shown."""

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


class BrokenOff(Exception):
    """The bytes of a body stopped, or came too slowly; the message says why."""


@contextmanager
def ask(url: str, headers: Mapping[str, str]) -> Iterator[requests.Response]:
    """The answer to a GET request, redirects followed, whose body is still to come.

    Args:
        headers: sent along; an authorization is not passed on to another host.

    Raises:
        DownloadFailed: there is no answer, or it leads to something other than a web server.
    """
    import requests

    # Without compression: ranges count the bytes that are sent.
    common = {"Accept-Encoding": "identity", "User-Agent": f"correspondence-bench/{__version__}"}
    with requests.Session() as session:
        # It would look for a redirect's target even where it is not to follow it, and read the body first.
        session.resolve_redirects = lambda *_, **__: iter(())  # type: ignore[method-assign]
        with closing(_follow(session, url, {**common, **headers})) as response:
            yield response


def _follow(session: requests.Session, url: str, headers: dict[str, str]) -> requests.Response:
    address = url
    for _ in range(MOST_REDIRECTS):
        response = _get(session, url, address, headers)
        # The body of a redirect is not read: it may be without end.
        with ExitStack() as stack, _errors_named(url):
            stack.callback(response.close)
            target = session.get_redirect_target(response)
            if target is None:
                stack.pop_all()
                return response
            following = urljoin(address, target)
            # `urljoin` keeps what it does not understand.
            if urlsplit(following).scheme not in ("http", "https") or not urlsplit(following).hostname:
                raise DownloadFailed(f"{url}: is redirected to {_shown(following)}, which is no web server")
            if session.should_strip_auth(address, following):  # type: ignore[no-untyped-call]
                headers = {name: headers[name] for name in headers if name.lower() != "authorization"}
        address = following
    raise DownloadFailed(f"{url}: is redirected more than {MOST_REDIRECTS} times")


def _get(session: requests.Session, url: str, address: str, headers: dict[str, str]) -> requests.Response:
    """One request, without redirects, whose header arrives within `ANSWER_LIMIT`."""
    answers: queue.Queue[requests.Response | Exception] = queue.Queue()

    def wait() -> None:
        try:
            answers.put(
                session.get(address, headers=headers, stream=True, timeout=TIMEOUT, allow_redirects=False)
            )
        except Exception as error:  # noqa: BLE001 - raised again by whoever waits
            answers.put(error)

    # Timeouts are for the next byte alone: a header of a byte a minute would take for ever. A thread that
    # waits for one ends with the server, or with this process.
    threading.Thread(target=wait, daemon=True).start()
    try:
        answer = answers.get(timeout=ANSWER_LIMIT)
    except queue.Empty:
        raise DownloadFailed(f"{url}: no whole answer within {ANSWER_LIMIT:g} s") from None
    with _errors_named(url):
        if isinstance(answer, Exception):
            raise answer
    return answer


@contextmanager
def _errors_named(url: str) -> Iterator[None]:
    import requests
    import urllib3.exceptions

    try:
        yield
    except requests.RequestException as error:
        raise DownloadFailed(f"{url}: {_innermost_reason(error)}") from error
    except (urllib3.exceptions.HTTPError, ValueError) as error:
        # What requests lets through: addresses that cannot be taken apart, or not be encoded.
        reason = _innermost_reason(error)
        raise DownloadFailed(f"{url}: leads to an address that is none ({reason})") from error
    except OSError as error:  # certificates that the environment names and that are not there
        raise DownloadFailed(f"{url}: {_innermost_reason(error)}") from error


def refuse_other_answers(url: str, response: requests.Response, accepted: list[int]) -> None:
    """Raises `DownloadFailed` where an answer is not one of the accepted statuses, or a web page."""
    if response.status_code not in accepted:
        raise DownloadFailed(
            f"{url}: the server answers {status_text(response)}",
            response.status_code,
        )
    # Pages of logins, proxies and moved files come with status 200.
    if response.headers.get("Content-Type", "").startswith("text/html"):
        raise DownloadFailed(f"{url}: the server answers with a web page instead of the file")


def status_text(response: requests.Response) -> str:
    """`404 Not Found`, as the server words it, in one line."""
    return f"{response.status_code} {_shown(response.reason or '')}".rstrip()


def read_pieces(response: requests.Response) -> Iterator[bytes]:
    """Yields the body as it arrives.

    Raises:
        BrokenOff: the connection broke off, or brings less than `LEAST_BYTES` in `WINDOW`.
    """
    import urllib3.exceptions

    waited, arrived = 0.0, 0
    while True:
        begin = time.monotonic()
        try:
            # The raw stream, since requests would unpack a .tar.gz that a server declares as compressed in
            # transit. What is there, without waiting for more: a slow server must be seen.
            piece = response.raw.read1(_CHUNK, decode_content=False)
        except (urllib3.exceptions.HTTPError, ValueError, OSError) as error:
            raise BrokenOff(_innermost_reason(error)) from error
        if not piece:
            return
        yield piece
        # The time for writing does not count.
        waited += time.monotonic() - begin
        arrived += len(piece)
        if waited > WINDOW:
            if arrived < LEAST_BYTES:
                raise BrokenOff(f"less than {bytes_text(LEAST_BYTES)} in {waited:.0f} s")
            waited, arrived = 0.0, 0


def _shown(text: str) -> str:
    return printable(text)[:_LONGEST_TEXT]


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
    return _shown(" ".join(_OBJECT.sub("", str(error)).split())) or type(error).__name__
