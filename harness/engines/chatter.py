"""stdout without what Ray's threads print there: the table of a run is all that is to be on it."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import TextIO

THREADS = "ray_"
"""How the names of Ray's threads begin."""


class _Sorted(io.TextIOBase):
    """Text of Ray's threads goes to one stream, or nowhere, and all else to another."""

    def __init__(self, own: TextIO, of_ray: TextIO | None) -> None:
        self._own, self._of_ray = own, of_ray

    def write(self, text: str) -> int:
        """Passes a text on."""
        stream: TextIO | None = self._own
        if threading.current_thread().name.startswith(THREADS):
            stream = self._of_ray
        return stream.write(text) if stream else len(text)

    def flush(self) -> None:
        """Flushes the stream of everybody else."""
        self._own.flush()

    def isatty(self) -> bool:
        """Says what the stream of everybody else says."""
        return self._own.isatty()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """That of the stream of everybody else."""
        return self._own.encoding

    def fileno(self) -> int:
        """That of the stream of everybody else."""
        return self._own.fileno()


@contextmanager
def sorting_out_chatter(*, is_shown: bool) -> Iterator[None]:
    """Keeps the reports of Ray's threads off stdout.

    Args:
        is_shown: whether they are printed to stderr.
    """
    with redirect_stdout(_Sorted(sys.stdout, sys.stderr if is_shown else None)):
        yield
