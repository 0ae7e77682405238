"""stdout and stderr as commands use them: whatever they are, work that is done is not lost to them."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from harness.errors import BenchError


class OutputLost(BenchError):
    """What a command prints cannot be written, as on a full disk."""


class ReaderGone(Exception):
    """Whoever read what a command prints has closed it, as `head` does.

    Not the system's own error, which click would end the process for with another status.
    """


def prepare_streams() -> None:
    """Makes stdout and stderr fit for any text and any place that a shell may send them to.

    A character that their encoding lacks is printed as `?`: a batch job often runs in ASCII or Latin-1, and
    tables have dashes that neither of them has. A closed stream is opened on nothing, since the next file
    that is opened would take its place and get what is printed. Messages that cannot be written are dropped:
    a log on a full disk must not end hours of work.
    """
    _fill_closed_places()
    for name, kind in (("stdout", _Output), ("stderr", _Messages)):
        stream = _rebuilt(getattr(sys, name), kind)
        setattr(sys, name, stream)
        # The old one is of no use any more.
        setattr(sys, f"__{name}__", stream)


def discard(stream: Any) -> None:
    """Sends to nowhere what still waits in a stream that cannot be written, and all that follows."""
    with suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _fill_closed_places() -> None:
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # The lowest number that is free is the one that is looked at.
            os.open(os.devnull, os.O_RDWR)


class _Output(io.TextIOWrapper):
    """stdout: an error in writing says what was being written."""

    def write(self, text: str, /) -> int:
        try:
            return super().write(text)
        except OSError as error:
            raise _lost(self, error) from error

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            raise _lost(self, error) from error


def _lost(stream: io.TextIOWrapper, error: OSError) -> OutputLost | ReaderGone:
    # Python would complain once more when it exits.
    discard(stream)
    if isinstance(error, BrokenPipeError):
        return ReaderGone("the reader of the output has closed it")
    return OutputLost(
        f"the output: {error.strerror or error}; send it elsewhere and give the command again, "
        "results that were computed are kept"
    )


class _Messages(io.TextIOWrapper):
    """stderr: what cannot be written is dropped, there is nowhere left to say so."""

    def write(self, text: str, /) -> int:
        try:
            return super().write(text)
        except OSError:
            discard(self)
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError:
            discard(self)


def _rebuilt(stream: Any, kind: Callable[..., io.TextIOWrapper]) -> Any:
    if stream is None:  # closed by the shell
        return Path(os.devnull).open("w", encoding="utf-8")
    if not isinstance(stream, io.TextIOWrapper):  # somebody has put a plain buffer in its place
        return stream
    encoding, is_line_buffered = stream.encoding, stream.line_buffering
    return kind(stream.detach(), encoding, errors="replace", line_buffering=is_line_buffered)
