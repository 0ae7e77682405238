"""The command line in other processes, and what a command left behind."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from support.paths import ROOT

PATIENCE = 3600.0
"""Seconds that a test waits for what must come: far more than it takes on the slowest machine."""


@dataclass(frozen=True)
class Outcome:
    status: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The only line on stderr."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        return lines[0]


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "harness.cli", *map(str, arguments)]


def plugin_environment(site: Path, **more: str) -> dict[str, str]:
    path = os.pathsep.join([str(site), str(ROOT)])
    return {**os.environ, "PYTHONPATH": path, "BENCH_BLOCK": "", **more}
