"""Seconds and memory of a cell's stages."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from harness.records.schema import Stage


class StageClock:
    """Seconds spent in each stage, and the process's peak memory when it last ended."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._peaks: dict[str, int] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Counts the time inside the `with` block as `name`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[name] = self._seconds.get(name, 0.0) + time.perf_counter() - start
            self._peaks[name] = peak_memory()

    def stages(self) -> dict[str, Stage]:
        """Seconds and peak memory of each stage so far."""
        return {
            name: Stage(seconds=round(self._seconds[name], 4), peak_memory_bytes=self._peaks[name])
            for name in self._seconds
        }


def peak_memory() -> int:
    """The process's high-water mark of resident memory, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
