"""The standard streams while a plugin's code runs: its prints go to stderr, since stdout belongs to results,
and what it closes is there again afterwards.
"""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any

_STREAMS = ("stdin", "stdout", "stderr", "__stdin__", "__stdout__", "__stderr__")


@contextmanager
def printing_to_stderr() -> Iterator[None]:
    """Sends to stderr what is printed meanwhile, by Python, by C code and by processes that are started."""
    streams = {name: getattr(sys, name) for name in _STREAMS}
    _flush(sys.stdout)
    copies = _copy_descriptors()
    if 1 in copies and 2 in copies:
        os.dup2(2, 1)
    for name, stream in streams.items():
        setattr(sys, name, _stand_in(streams["stderr"] if name == "stdout" else stream))
    try:
        yield
    finally:
        # Printed through another door than `sys.stdout`, and still waiting.
        _flush(streams["__stdout__"])
        if copies:
            with suppress(OSError, AttributeError):
                _c_library().fflush(None)
        for number, copy in copies.items():
            os.dup2(copy, number)
            os.close(copy)
        for name, stream in streams.items():
            setattr(sys, name, stream)


class _StandIn:
    """A stream that cannot be closed, detached or set up anew: others go on with the one behind it."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        if name == "_stream":
            # Asked for by whoever copies it, before it is there.
            raise AttributeError(name)
        value = getattr(self._stream, name)
        return _stand_in(value) if name in ("buffer", "raw") else value

    def __iter__(self) -> Iterator[Any]:
        return iter(self._stream)

    def __next__(self) -> Any:
        return next(self._stream)

    def __enter__(self) -> _StandIn:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Writes out what waits."""
        _flush(self._stream)

    def detach(self) -> Any:
        """Returns the stream of bytes."""
        return self.buffer

    def reconfigure(self, **options: Any) -> None:
        """Leaves encoding and buffers as they are."""


def _stand_in(stream: Any) -> Any:
    # None in a process without a terminal.
    return None if stream is None else _StandIn(stream)


def _copy_descriptors() -> dict[int, int]:
    """Copies of the descriptors of the standard streams, of those that are open."""
    copies: dict[int, int] = {}
    for number in range(3):
        with suppress(OSError):
            # Not into the place of one that is closed.
            copies[number] = fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 3)
    return copies


def _flush(stream: Any) -> None:
    # None in a process without a terminal; closed, or without a reader, and then told elsewhere.
    if stream is not None:
        with suppress(OSError, ValueError):
            stream.flush()


@cache
def _c_library() -> Any:
    import ctypes

    return ctypes.CDLL(None)
