"""Importing large packages sooner, and leaving them sooner."""

from __future__ import annotations

import atexit
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

MANY = 100
"""Modules of an import after which objects are put aside that stay as long as the process."""


class _Process:
    """Whether this process was begun for one command."""

    is_claimed = False


def claim_process() -> None:
    """Takes this process for one command, with which it ends.

    The collector of cyclic garbage no longer walks along what was imported, least of all when Python ends:
    with torch, diffusers and transformers that takes two seconds, to free what the system frees at once.
    """
    if not _Process.is_claimed:
        _Process.is_claimed = True
        atexit.register(gc.freeze)


@contextmanager
def uncollected() -> Iterator[None]:
    """Pauses the collector of cyclic garbage while a large package is imported.

    Importing torch and diffusers makes 600,000 objects that stay. The collector would walk along all objects
    whenever their number has grown by a quarter, which takes a seventh of the time. In a process of our own
    they are put aside afterwards. A package that was there already changes nothing: networks that were
    loaded meanwhile, some of them in cycles, would never be freed.
    """
    enabled, before = gc.isenabled(), len(sys.modules)
    gc.disable()
    try:
        yield
        if _Process.is_claimed and len(sys.modules) - before >= MANY:
            gc.freeze()
    finally:
        if enabled:
            gc.enable()
