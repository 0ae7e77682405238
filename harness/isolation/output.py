"""Prints of plugins, sent to stderr: stdout belongs to results."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any


@contextmanager
def printing_to_stderr() -> Iterator[None]:
    """Sends to stderr what is printed meanwhile, by Python, by C code and by processes that are started."""
    stdout, stderr = sys.stdout, sys.stderr
    _flush(stdout)
    copy = _swap_descriptors()
    sys.stdout = stderr
    try:
        yield
    finally:
        # Printed through another door than `sys.stdout`, and still waiting.
        _flush(sys.__stdout__)
        if copy is not None:
            with suppress(OSError, AttributeError):
                _c_library().fflush(None)
            os.dup2(copy, 1)
            os.close(copy)
        sys.stdout, sys.stderr = stdout, stderr


def _swap_descriptors() -> int | None:
    """Lets descriptor 1 lead to stderr. Returns a copy of it as it was; None where one of them is closed."""
    try:
        copy = os.dup(1)
    except OSError:
        return None
    try:
        os.dup2(2, 1)
    except OSError:
        os.close(copy)
        return None
    return copy


def _flush(stream: Any) -> None:
    # None in a process without a terminal; closed, or without a reader, and then told elsewhere.
    if stream is not None:
        with suppress(OSError, ValueError):
            stream.flush()


@cache
def _c_library() -> Any:
    import ctypes

    return ctypes.CDLL(None)
