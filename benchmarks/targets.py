"""The table of targets: what is wanted, what it was before, what was measured in this run, met or missed."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import report
import startup
from authors_scripts import ALL_OF_TWENTY, EVERY_FOURTH, FORTY, RECURRING, Workload, there_and_back
from beside_authors import Beside
from leaderboard import measure

CACHE_GB = 0.02
"""Room for 45 maps of `dift` of the bundled networks, 0.44 MB each."""


class Target(NamedTuple):
    """One line of the table.

    Attributes:
        before: what it was when the target was set.
        measured: as text, with its unit.
        verdict: `met` or `MISSED`, with what else is to be told.
    """

    what: str
    wanted: str
    before: str
    measured: str
    verdict: str
    how: str


class Memory(NamedTuple):
    """Peak memory in megabytes of `bench run --methods dift --cache-gb` on few and on many pictures.

    Attributes:
        unbounded: on many, with the default.
    """

    few: float
    many: float
    unbounded: float
    few_pictures: str
    many_pictures: str

    @property
    def is_bounded(self) -> bool:
        """Whether many pictures need no more than few and a tenth of the bound, which is noise."""
        return self.many - self.few <= 1.1 * 1000 * CACHE_GB

    @property
    def verdict(self) -> str:
        """Whether it is bounded, and whether the default would have needed more."""
        if self.is_bounded and self.unbounded - self.many < 1000 * CACHE_GB:
            return "met; tells little, as the default needs no more on these lists"
        return _verdict(self.is_bounded)


def measure_memory(folder: Path, few: Workload = FORTY, many: Workload = EVERY_FOURTH) -> Memory:
    """Measures it in processes of their own, on each list there and back."""
    few, many = there_and_back(few), there_and_back(many)
    less, more = few.write(folder / "few"), many.write(folder / "many")
    bound = ["--cache-gb", str(CACHE_GB)]
    return Memory(
        _peak(less, folder / "few-results", bound),
        _peak(more, folder / "many-results", bound),
        _peak(more, folder / "unbounded-results", []),
        few.describe(),
        many.describe(),
    )


def _peak(data: Path, out: Path, more: Sequence[str]) -> float:
    command = [sys.executable, "-m", "harness.cli", "run", "--methods", "dift"]
    command += ["--datasets", f"folder={data}", "--device", "cpu", "--out", str(out), *more]
    # Threads bring memory of their own.
    with patch.dict(os.environ, {"OMP_NUM_THREADS": "1"}):
        return measure(command).megabytes


RATIOS = (
    ("DIFT at SPair-71k's pairs a picture", "dift", ALL_OF_TWENTY, 20.0, "10"),
    ("CPM where each picture is in 20 pairs", "sd4match-cpm", RECURRING, 3.0, "1.2 to 1.6"),
    ("Single where each picture is in 20 pairs", "sd4match-single", RECURRING, 3.0, "1.5"),
)
"""Of the authors' seconds over ours: what, method, list, wanted, before (on lists of nearly new pictures
for CPM and Single)."""


def targets(rows: Sequence[Beside], start: startup.Start | None, memory: Memory) -> Iterator[Target]:
    """Yields the lines.

    Args:
        start: None where it was not measured.
    """
    for (what, _, _, wanted, before), row in zip(RATIOS, _rows_of(rows), strict=True):
        verdict = _verdict(row.ratio >= wanted)
        if row.ratio >= wanted > row.ratio_with_loading:
            verdict += "; MISSED with our loading"
        yield Target(
            f"{what}, authors : ours",
            f"{wanted:g}",
            before,
            f"{row.ratio:.1f} ({row.ratio_with_loading:.1f} with our loading)",
            verdict,
            f"{row.workload.describe()}, the table above",
        )
    if start:
        yield Target(
            "first pair",
            f"{startup.TARGET:g} s",
            "10 s",
            f"{report.seconds(start.first_pair)} s",
            _verdict(start.is_met),
            '`bench run --methods dift --limit 1`, the table "Start-up"',
        )
    yield Target(
        "memory bounded by `--cache-gb`",
        f"{1000 * CACHE_GB:.0f} MB more at most",
        "bounded",
        f"{memory.few:.0f} and {memory.many:.0f} MB",
        memory.verdict,
        f"peak of `bench run --methods dift --cache-gb {CACHE_GB}` on {memory.few_pictures} and on "
        f"{memory.many_pictures}; {memory.unbounded:.0f} MB with the default",
    )


def _rows_of(rows: Sequence[Beside]) -> list[Beside]:
    """The row of each ratio, in their order."""
    found = []
    for _, method, workload, *_ in RATIOS:
        found += [row for row in rows if row.timed.method == method and row.stands_for is workload]
    return found


def _verdict(is_met: bool) -> str:
    return "met" if is_met else "MISSED"


HEADERS = ("target", "wanted", "before", "measured", "verdict", "how")


def tabulate_targets(lines: Sequence[Target]) -> str:
    """The table."""
    return f"### Targets\n\n{report.plain(HEADERS, [list(line) for line in lines])}"
