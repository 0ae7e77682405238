"""Importing large packages sooner."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Holds back the collector of cyclic garbage.

    Importing torch and diffusers makes 600,000 objects that stay, and the collector would walk along all there are every time that
    their number has grown by a quarter: a seventh of the time.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
