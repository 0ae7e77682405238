"""Costs of commands, kept in a file as they are measured: what ends early goes on from there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from leaderboard import Cost

SHORT = 10.0
"""Processor seconds below which a command is short: there, what the machine does besides counts."""

RUNS_OF_SHORT = 3


class KeptCosts:
    """Costs by name, of several runs each.

    Args:
        path: where they are kept, from earlier calls too; None for memory alone.
        runs_of_short: runs of a short command.
    """

    def __init__(self, path: Path | None = None, runs_of_short: int = RUNS_OF_SHORT) -> None:
        self._path, self._runs_of_short = path, runs_of_short
        self._runs: dict[str, list[list[float]]] = {}
        if path and path.exists():
            self._runs = json.loads(path.read_text(encoding="utf-8"))

    def measure(self, name: str, run: Callable[[], Cost], repeats: int) -> None:
        """Runs a command until there are so many runs of it, and as many of a short one as are wanted."""
        runs = self._runs.setdefault(name, [])
        while len(runs) < repeats or (len(runs) < self._runs_of_short and min(runs)[0] < SHORT):
            cost = run()
            runs.append([cost.processor_seconds, cost.megabytes])
            self._save()

    def least(self, name: str) -> tuple[float, float] | None:
        """Least seconds of the processor and least megabytes; None where it was never run."""
        runs = self._runs.get(name)
        if not runs:
            return None
        seconds, megabytes = zip(*runs, strict=True)
        return min(seconds), min(megabytes)

    def _save(self) -> None:
        if self._path:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_text(json.dumps(self._runs, indent=1), encoding="utf-8")
