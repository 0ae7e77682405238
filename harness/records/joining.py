"""The cells of several results folders together: which copies are one cell, and which copy stands for it.

Cells have the same id where nothing that determines their numbers differs, so copies of one cell should have
the same predictions, or parts of them. Where they do not, nothing is left out in silence.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.errors import SeveralErrors
from harness.messages import listed
from harness.records.copies import Kinship, kinship, score_key
from harness.records.results import read_results
from harness.records.runs import StoredCell
from harness.records.schema import Record, Score
from harness.records.unfinished import Unfinished, unfinished_cells


@dataclass(frozen=True)
class JoinedCell:
    """One cell as several folders have it.

    Attributes:
        copies: in the order of the folders; at least one.
        chosen: the copy with most predictions, the first of equal ones. Where copies have equal predictions,
            its record has the scores of all of them.
        kinships: (number of a copy, number of a later one) -> how the later one stands to it.
    """

    copies: tuple[StoredCell, ...]
    chosen: StoredCell
    kinships: Mapping[tuple[int, int], Kinship]

    @property
    def id(self) -> str:
        """The cell's id."""
        return self.chosen.record.cell.id

    @property
    def is_whole(self) -> bool:
        """Says whether the chosen copy has all predictions that the copies have together."""
        number = self._number(self.chosen)
        for (first, second), found in self.kinships.items():
            if number in (first, second) and found.kind not in ("same", "fewer", "more"):
                return False
        return True

    @property
    def conflicts(self) -> list[str]:
        """A line for each two copies that contradict each other, or cannot be compared.

        It names both folders. Such copies cannot be put together.
        """
        lines = []
        for (first, second), found in self.kinships.items():
            if found.kind in ("different", "unknown"):
                folders = f"{self._folder(first)} and {self._folder(second)}"
                lines.append(f"{self.id}: {folders} {found.reason}")
        return lines

    @property
    def is_rounding(self) -> bool:
        """Says whether copies contradict each other by no more than floating-point rounding."""
        conflicts = [found for found in self.kinships.values() if found.kind in ("different", "unknown")]
        return bool(conflicts) and all(found.is_rounding for found in conflicts)

    def describe(self) -> list[str]:
        """A line for each way in which copies differ; none where all are equal."""
        chosen = self.chosen.folder.parent
        lines = [f"{line}; the table shows {chosen}'s" for line in self.conflicts]
        if lines:
            return lines
        others = [str(copy.folder.parent) for copy in self.copies if copy.folder != self.chosen.folder]
        if not self.is_whole:
            return [
                f"{self.id}: {chosen} and {listed(others)} have predictions that the other lacks; the table "
                f"shows {chosen}'s; 'bench merge' puts them together"
            ]
        if any(found.kind != "same" for found in self.kinships.values()):
            return [f"{self.id}: {chosen} has more of it than {listed(others)}; the table shows {chosen}'s"]
        return []

    def _number(self, cell: StoredCell) -> int:
        return [copy.folder for copy in self.copies].index(cell.folder)

    def _folder(self, number: int) -> Path:
        return self.copies[number].folder.parent


def join_copies(copies: Sequence[StoredCell]) -> JoinedCell:
    """Compares the copies of one cell, each with each, and chooses the one that stands for it."""
    kinships = {}
    for first, second in itertools.combinations(range(len(copies)), 2):
        kinships[first, second] = kinship(copies[first], copies[second])
    # The first of equal ones: `max` keeps it.
    number = max(range(len(copies)), key=lambda each: _predicted(copies[each].record))
    chosen = copies[number]
    for (first, second), found in kinships.items():
        if found.kind == "same" and number in (first, second):
            other = copies[second if number == first else first]
            chosen = replace(chosen, record=_with_scores_of(chosen.record, other.record))
    return JoinedCell(tuple(copies), chosen, kinships)


def _predicted(record: Record) -> tuple[bool, int]:
    """Sorting key: whether a cell has come to a result, then its number of predictions."""
    return record.status != "failed", sum(info.keypoints for info in record.localizers.values())


def _with_scores_of(record: Record, other: Record) -> Record:
    """The record with the scores that another one of the same predictions has besides: of other protocols."""
    scores = {score_key(score): score for score in record.scores}
    for score in other.scores:
        own = scores.get(score_key(score))
        if own is None or _is_older(own, score):
            scores[score_key(score)] = score
    if list(scores.values()) == record.scores:
        return record
    changes: dict[str, object] = {"scores": list(scores.values())}
    for name in ("thresholds", "frames", "averagings", "measures", "not_applicable"):
        changes[name] = {**getattr(other, name), **getattr(record, name)}
    own_failures = [failure for failure in other.failures if failure not in record.failures]
    changes["failures"] = [*record.failures, *own_failures]
    # It is no record that was written.
    return record.model_copy(update={**changes, "sealed": ""})


def _is_older(score: Score, other: Score) -> bool:
    """Says whether a score has the interval of an earlier version, and another one has not."""
    return score.images is None and other.images is not None


@dataclass(frozen=True)
class Results:
    """The cells of one or several results folders.

    Attributes:
        folders: in the user's order, each once.
        cells: cell id -> the cell, in order of id.
        damaged: a line for each record that cannot be read, and each folder without one.
    """

    folders: tuple[Path, ...]
    cells: Mapping[str, JoinedCell]
    damaged: tuple[str, ...]

    @property
    def records(self) -> list[Record]:
        """The records, in order of id."""
        return [cell.chosen.record for cell in self.cells.values()]

    @property
    def reasons(self) -> dict[str, str]:
        """Cell id -> why its numbers are not ranked: copies differ by more than rounding."""
        reasons = {}
        for cell_id, cell in self.cells.items():
            if cell.conflicts and not cell.is_rounding:
                names = listed(list(dict.fromkeys(copy.folder.parent.name for copy in cell.copies)))
                reasons[cell_id] = f"copies in {names} differ"
        return reasons

    @property
    def is_complete(self) -> bool:
        """Says whether every record could be read, and no copies of a cell contradict each other."""
        return not (self.damaged or self.reasons)

    def folder_of(self, record: Record) -> Path:
        """The folder of a record's cell."""
        return self.cells[record.cell.id].chosen.folder

    def problems(self) -> list[str]:
        """A line for each damaged record, and for each cell whose copies are not equal."""
        return [*self.damaged, *itertools.chain.from_iterable(map(JoinedCell.describe, self.cells.values()))]

    def warnings(self) -> list[str]:
        """The problems, and a line for each cell that was begun and not finished."""
        return [*self.problems(), *(cell.describe() for cell in self.unfinished())]

    def unfinished(self) -> list[Unfinished]:
        """Cells that were begun in a folder, and are finished in none."""
        unfinished: dict[str, Unfinished] = {}
        for folder in self.folders:
            for cell in unfinished_cells(folder, self.records):
                # Of two that were begun, the one that is further.
                earlier = unfinished.get(cell.name)
                is_further = earlier is None or cell.done > earlier.done
                if cell.name not in self.cells and is_further:
                    unfinished[cell.name] = cell
        return [unfinished[name] for name in sorted(unfinished)]


def read_folders(folders: Sequence[Path]) -> Results:
    """Reads results folders together.

    Raises:
        UserError: a folder does not exist, or none has a record that can be read.
    """
    # One folder under two names would be compared with itself.
    chosen = list({folder.resolve(): folder for folder in reversed(folders)}.values())[::-1]
    copies: dict[str, list[StoredCell]] = {}
    damaged: list[str] = []
    for folder in chosen:
        try:
            records, lines = read_results(folder)
        except SeveralErrors as error:
            # The other folders may have some.
            damaged += error.lines
            continue
        damaged += lines
        for record in records:
            cell_id = record.cell.id
            copies.setdefault(cell_id, []).append(StoredCell(folder / cell_id, record))
    if not copies:
        raise SeveralErrors(damaged)
    cells = {cell_id: join_copies(copies[cell_id]) for cell_id in sorted(copies)}
    return Results(tuple(chosen), cells, tuple(damaged))
