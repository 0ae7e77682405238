"""A web server on this machine that knows ranges, and how to misbehave."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Request:
    """What was asked for, and how many bytes of a body were sent in answer."""

    path: str
    range: str | None
    if_range: str | None
    status: int = 0
    sent: int = 0


@dataclass
class LocalServer:
    """Serves `files` (path -> content) at `url`. The knobs may be turned between requests.

    Attributes:
        etag: version of every file; empty for a server that sends none.
        cut_after: close the connection after so many bytes of a body.
        stall_after: send nothing more after so many bytes of a body, until the test is over.
        ignore_ranges: answer every request with the whole file.
        ignore_if_range: send the range that is asked for, of whatever is there now.
        range_shift: bytes by which a range starts later than was asked for.
        range_limit: largest number of bytes sent in answer to a range.
        status: answer with this error.
        content_type: of every answer.
        declared_extra: bytes that Content-Length promises too much.
        log: every request.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    etag: str = '"one"'
    last_modified: str = ""
    cut_after: int | None = None
    stall_after: int | None = None
    ignore_ranges: bool = False
    ignore_if_range: bool = False
    range_shift: int = 0
    range_limit: int | None = None
    status: int = 200
    content_type: str = "application/octet-stream"
    content_encoding: str = ""
    declared_extra: int = 0
    log: list[Request] = field(default_factory=list)

    def __enter__(self) -> LocalServer:
        self._over = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def ranges(self) -> list[str | None]:
        """The Range header of every request."""
        return [request.range for request in self.log]

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        request = Request(handler.path, handler.headers.get("Range"), handler.headers.get("If-Range"))
        self.log.append(request)
        content = self.files.get(handler.path)
        if self.status != 200 or content is None:
            request.status = self.status if self.status != 200 else 404
            handler.send_error(request.status)
            return
        start = self._start(request)
        if start is not None and start >= len(content):
            request.status = 416
            handler.send_response(416)
            handler.send_header("Content-Range", f"bytes */{len(content)}")
            handler.end_headers()
            return
        request.status = 200 if start is None else 206
        body = content[start or 0 :]
        if start is not None:
            body = body[: self.range_limit]
        handler.send_response(request.status)
        handler.send_header("Content-Length", str(len(body) + self.declared_extra))
        handler.send_header("Content-Type", self.content_type)
        if start is not None:
            handler.send_header("Content-Range", f"bytes {start}-{start + len(body) - 1}/{len(content)}")
        for name, value in (
            ("ETag", self.etag),
            ("Last-Modified", self.last_modified),
            ("Content-Encoding", self.content_encoding),
        ):
            if value:
                handler.send_header(name, value)
        handler.end_headers()
        sent = body[
            : next((limit for limit in (self.cut_after, self.stall_after) if limit is not None), len(body))
        ]
        request.sent = len(sent)
        with suppress(ConnectionError):  # a client that has heard enough hangs up
            handler.wfile.write(sent)
        if self.stall_after is not None:
            self._over.wait()

    def _start(self, request: Request) -> int | None:
        """The first byte to send, where a part is asked for and may be sent."""
        if request.range is None or self.ignore_ranges:
            return None
        if request.if_range not in (None, self.etag, self.last_modified) and not self.ignore_if_range:
            return None
        return int(request.range.removeprefix("bytes=").removesuffix("-")) + self.range_shift


def _handler(server: LocalServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.answer(self)

        def do_HEAD(self) -> None:
            server.answer(self)

        def log_message(self, *_: object) -> None:
            """Nothing on stderr."""

    return Handler
