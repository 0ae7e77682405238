"""The table "Beside the authors' own scripts": their seconds, carried over to this machine, beside ours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import report
from authors_scripts import EVERY_FOURTH, RECURRING, TIMED, Timed, Workload, options_of
from one_thread import Seconds, run_on_one_thread
from ours import Setup
from published import Diffusion
from recreated_scripts import ScriptCost, time_script

PICTURES, PAIRS = 8, 24
"""Of a list, on which the re-creation is timed."""


@dataclass(frozen=True)
class Beside:
    """One list of pairs.

    Attributes:
        timed: the authors' timing that the row follows from.
        stands_for: that timing's list, or one that their scripts were not timed on.
        workload: all of it, or its first pairs in a trial.
        recreated: the published re-creation, here.
        ours: here, the least of several runs.
    """

    timed: Timed
    stands_for: Workload
    workload: Workload
    recreated: ScriptCost
    ours: Seconds

    @property
    def authors(self) -> float:
        """Seconds of the authors' script at this machine's speed."""
        return self.timed.recreations * self.recreated.seconds

    @property
    def ratio(self) -> float:
        """Theirs over ours, our loading left out."""
        return self.authors / self.ours.working

    @property
    def ratio_with_loading(self) -> float:
        """Theirs over ours, our loading counted."""
        return self.authors / (self.ours.working + self.ours.loading)

    @property
    def ratio_of_networks(self) -> float:
        """Theirs over our features alone: what it would be if all else of ours took no time."""
        return self.authors / self.ours.features

    def cells(self) -> list[str]:
        """Its row."""
        is_timed = self.workload is self.timed.workload
        return [
            f"{self.timed.name}, {self.workload.describe()}",
            report.seconds(self.timed.seconds) if is_timed else "not timed",
            report.seconds(self.recreated.seconds),
            f"{self.timed.recreations:g}",
            report.seconds(self.authors),
            f"{report.seconds(self.ours.working)} (+{report.seconds(self.ours.loading)})",
            f"{self.ratio:.1f}",
            f"{self.ratio_with_loading:.1f}",
            f"{100 * self.ours.features / self.ours.working:.0f} %",
            f"{self.ratio_of_networks:.1f}",
        ]


def rows_of_timed() -> list[tuple[Timed, Workload]]:
    """What is measured: every list that was timed, and one whose pictures recur, as SPair-71k's do."""
    of_fourth = {timed.method: timed for timed in TIMED if timed.workload is EVERY_FOURTH}
    rows = [(timed, timed.workload) for timed in TIMED]
    return rows + [(of_fourth[method], RECURRING) for method in ("sd4match-single", "sd4match-cpm")]


def measure_beside(
    setup: Setup, diffusion: Diffusion, repeats: int, tell: Callable[[str], None], few: int | None = None
) -> list[Beside]:
    """Measures ours and the re-creation on every list, in turn.

    Args:
        repeats: runs of ours.
        tell: is told each row when it is measured.
        few: as many pairs of each list alone, for a trial.
    """
    rows = []
    folder = setup.work / "beside-authors"
    for number, (timed, whole) in enumerate(rows_of_timed()):
        workload = whole.few(few) if few else whole
        place = folder / str(number)
        data = workload.write(place / "data")
        ours, recreated = [], []
        for repeat in range(repeats):
            ours.append(run_on_one_thread(options_of(timed.method, data), place / str(repeat)))
            listed = Setup(data, place / "work", host=setup.host)
            recreated.append(time_script(listed, diffusion, timed.method, PICTURES, few or PAIRS))
        best = Seconds(*(min(values) for values in zip(*ours, strict=True)))
        row = Beside(timed, whole, workload, min(recreated, key=lambda cost: cost.seconds), best)
        tell(f"{' '.join(row.cells()[:1])}: {row.ratio:.1f} ({row.ratio_with_loading:.1f} with loading)")
        rows.append(row)
    return rows


HEADERS = (
    *("what", "authors then, s", "re-creation here, s", "authors : re-creation", "authors here, s"),
    *("ours here, s (+ loading)", "ratio", "ratio, our loading counted"),
    *("ours that is features", "ratio if they were all"),
)

NOTE = """
Seconds of the processor, one thread, bundled networks, pairs of `shapes` in their own size; all four
localizers of SD4Match for Single and CPM, both ways. The authors' code is not in this project: what their
scripts took was timed once, on another machine state, in turn with this project at commit 8fdbbac
(2026-11-26, `docs/explanation/verification.md`), loading counted. Seconds of two machine states cannot be
compared, so the published re-creation is timed in this very run, on some pictures and pairs of each list,
and multiplied by "authors : re-creation": what the authors' script took, carried over by that commit, which
was timed beside it then and beside the re-creation later (`benchmarks/authors_bridge.py`). Where pictures
recur the scripts of Single and CPM were not timed, and the quotient is that of 150 pairs. CPM's keeps
nothing of a picture but DINOv2's features, so that a pair costs it the same on every list (0.40 s on both
that were timed); Single's keeps a map of each picture, as ours does, so that one more pair of known
pictures costs it the points alone.
""".strip().replace("\n", " ")


def tabulate_beside(rows: list[Beside]) -> str:
    """The table with its note."""
    table = report.plain(HEADERS, [row.cells() for row in rows])
    return f"### Beside the authors' own scripts\n\n{table}\n\n{NOTE}"
