"""Costs of commands, kept in a file as they are measured: what ends early goes on from there."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
from leaderboard import Cost

from harness.files import replacing

SHORT = 10.0
"""Processor seconds below which a command is short: there, what the machine does besides counts."""

RUNS_OF_SHORT = 3


class KeptCosts:
    """Costs by name, of several runs each.

    Args:
        path: where they are kept, from earlier calls too; None for memory alone.
        conditions: what costs depend on besides the command, such as the processor. A file of others is
            refused.
        circumstances: what else is to be known of the first call, such as its date.
        runs_of_short: runs of a short command.

    Attributes:
        circumstances: those of the call that began the file.

    Raises:
        click.UsageError: the file is damaged, or of other conditions.
    """

    def __init__(
        self,
        path: Path | None = None,
        conditions: Mapping[str, str] | None = None,
        circumstances: Mapping[str, str] | None = None,
        runs_of_short: int = RUNS_OF_SHORT,
    ) -> None:
        self._path, self._runs_of_short = path, runs_of_short
        self._conditions = dict(conditions or {})
        self.circumstances = dict(circumstances or {})
        self._runs: dict[str, list[list[float]]] = {}
        if path and path.exists():
            self._read(path)

    def measure(self, name: str, run: Callable[[], Cost], repeats: int) -> bool:
        """Runs a command until there are so many runs of it, and as many of a short one as are wanted.

        Returns:
            Whether it ran at all.
        """
        runs = self._runs.setdefault(name, [])
        before = len(runs)
        while len(runs) < repeats or (len(runs) < self._runs_of_short and min(runs)[0] < SHORT):
            cost = run()
            runs.append([cost.processor_seconds, cost.megabytes])
            self._save()
        return len(runs) > before

    def least(self, name: str) -> tuple[float, float] | None:
        """Least seconds of the processor and least megabytes; None where it was never run."""
        runs = self._runs.get(name)
        if not runs:
            return None
        seconds, megabytes = zip(*runs, strict=True)
        return min(seconds), min(megabytes)

    def _read(self, path: Path) -> None:
        try:
            kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            conditions, circumstances = dict(kept["conditions"]), dict(kept["circumstances"])
            runs = {
                str(name): [[float(seconds), float(megabytes)] for seconds, megabytes in costs]
                for name, costs in kept["runs"].items()
            }
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise click.UsageError(
                f"{path}: holds no costs that an earlier call has kept ({type(error).__name__}); "
                "give another file, or remove this one"
            ) from error
        if conditions != self._conditions:
            kept_under, here = (", ".join(map(str, each.values())) for each in (conditions, self._conditions))
            raise click.UsageError(
                f"{path}: was measured with {kept_under}; here is {here}; give another file"
            )
        self._runs, self.circumstances = runs, circumstances

    def _save(self) -> None:
        if self._path:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            kept = {"conditions": self._conditions, "circumstances": self.circumstances, "runs": self._runs}
            with replacing(self._path) as file:
                file.write(json.dumps(kept, indent=1).encode())
