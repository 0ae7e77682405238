"""The command line in other processes, and what a command left behind."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from support.paths import ROOT

PATIENCE = 3600.0
"""Seconds that a test waits for what must come: far more than it takes on the slowest machine."""

INFORMATION = ("; next: 'bench leaderboard ", " the pictures of shapes alone, ", " checks every picture")
"""Words of the lines on stderr that are no warnings: what comes next, and what small weights know."""


@dataclass(frozen=True)
class Outcome:
    status: int
    out: str
    err: str

    @property
    def warnings(self) -> list[str]:
        """The lines on stderr that say that something is amiss."""
        lines = self.err.splitlines()
        return [line for line in lines if not any(words in line for words in INFORMATION)]

    @property
    def complaint(self) -> str:
        """The only warning on stderr."""
        lines = self.warnings
        assert len(lines) == 1, self.err
        return lines[0]


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "harness.cli", *map(str, arguments)]


def plugin_environment(site: Path, **more: str) -> dict[str, str]:
    path = os.pathsep.join([str(site), str(ROOT)])
    return {**os.environ, "PYTHONPATH": path, "BENCH_BLOCK": "", **more}
