"""A server on this machine that answers with exactly the bytes it is given, whatever they are."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress


def answer(body: bytes = b"content", status: str = "200 OK", *, length: bool = True, **headers: str) -> bytes:
    """An answer of HTTP. Headers are named with underscores, and sent in Latin-1."""
    lines = [f"HTTP/1.1 {status}", "Connection: close"]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    for name, value in headers.items():
        lines.append(f"{name.replace('_', '-')}: {value}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


class RawServer:
    """Serves its answers one after the other, and the last one from then on.

    Attributes:
        answers: the bytes of each, or a function that is given the connection.
        requests: the bytes of each request.
    """

    def __init__(self, *answers: bytes | Callable[[socket.socket], None]) -> None:
        self.answers = list(answers)
        self.requests: list[bytes] = []
        self._connection: socket.socket | None = None

    def __enter__(self) -> RawServer:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        # Wakes the thread from waiting for the next connection, or from an answer without end.
        for waiting in (self._socket, self._connection):
            with suppress(OSError, AttributeError):
                waiting.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self._connection = connection
            # A client that has heard enough hangs up.
            with connection, suppress(OSError):
                self.requests.append(self._request(connection))
                chosen = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                if callable(chosen):
                    chosen(connection)
                else:
                    connection.sendall(chosen)

    def _request(self, connection: socket.socket) -> bytes:
        request = b""
        while b"\r\n\r\n" not in request:
            piece = connection.recv(65536)
            if not piece:
                break
            request += piece
        return request
