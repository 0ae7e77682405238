"""Rows of tables before they are text: one method with one localizer, its numbers, and what a reader needs to trust them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from harness.records import Record, Score
from harness.table import Mark

Averaging = Literal["image", "point"]
Split = tuple[str, str]
"""(dataset, split)"""

RANKING_ALPHA = 0.10
"""The field's headline threshold."""

SUPERVISION = ("Z", "I", "K")
"""Zero-shot, image-level labels or pairs, keypoints: the groups of SD4Match's Table 2, in its order."""

NOTHING = "–"


class Column(NamedTuple):
    """What a column of numbers is of."""

    dataset: str
    split: str
    alpha: float
    slice: str = "all"


@dataclass(frozen=True)
class Line:
    """One row.

    Attributes:
        method: name in the table.
        trained_on: dataset its prompt or network was tuned on; empty for none.
        timestep, ensemble: the extractor's parameters of these names; empty where it has none.
        values: column -> number.
        pairs: split -> pairs behind its numbers.
        seconds: split -> seconds per pair, for features and points, of the run that computed them.
        cells: split -> the record that the numbers are from.
        notes: why the row cannot be compared with others; empty where it can.
        remarks: what else is to be said.
        reported: whether a paper printed the numbers, and nobody here measured them.
        claims: column -> what a paper printed for the same method, prompt and training data.
    """

    method: str
    prompt: str
    localizer: str
    backbone: str
    supervision: str
    trained_on: str = ""
    timestep: str = ""
    ensemble: str = ""
    values: Mapping[Column, Score] = field(default_factory=dict)
    pairs: Mapping[Split, int] = field(default_factory=dict)
    seconds: Mapping[Split, float] = field(default_factory=dict)
    cells: Mapping[Split, Record] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    reported: bool = False
    claims: Mapping[Column, float] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, ...]:
        """What two lines must have in common to be one row."""
        return self.method, self.prompt, self.localizer, self.backbone, self.trained_on

    def complete(self, columns: Sequence[Column]) -> bool:
        """Whether it can be compared with others in all of these columns."""
        return not self.notes and all(column in self.values for column in columns)

    def mean(self, columns: Sequence[Column]) -> float:
        """Mean over the columns that rank."""
        ruling = ruling_of(columns)
        return sum(self.values[column].pck for column in ruling) / max(len(ruling), 1)

    def text(self, column: Column, *, interval: bool = True) -> str:
        """`50.7 ±1.0`, with `(−2.2)` behind it where a paper claimed 52.9; an en dash where there is no number."""
        score = self.values.get(column)
        if score is None:
            return NOTHING
        claim = self.claims.get(column)
        number = number_text(score) if interval else f"{score.pck:.1f}"
        return number if claim is None else f"{number} ({difference_text(score.pck - claim)})"


def ruling_of(columns: Sequence[Column]) -> Sequence[Column]:
    """The columns that rows are ranked by: those at alpha 0.10, or all."""
    return [column for column in columns if column.alpha == RANKING_ALPHA] or columns


def number_text(score: Score | None) -> str:
    """`50.7 ±1.0`, or an en dash."""
    if score is None:
        return NOTHING
    if score.low is None or score.high is None:
        return f"{score.pck:.1f}"
    return f"{score.pck:.1f} ±{(score.high - score.low) / 2:.1f}"


def difference_text(points: float) -> str:
    """`+1.2`, `−2.2`, `0.0`."""
    rounded = round(points, 1)
    return "0.0" if not rounded else f"{'+' if rounded > 0 else '−'}{abs(rounded):.1f}"


def alpha_text(alpha: float) -> str:
    """Two decimals, or as many as it needs."""
    return f"{alpha:.2f}" if round(alpha, 2) == alpha else f"{alpha:g}"


def split_name(dataset: str, split: str) -> str:
    """`birds` for its test split, `birds/val` for another."""
    return dataset if split == "test" else f"{dataset}/{split}"


def without_change(label: str, pattern: str) -> str:
    """A method's label without one of its changes: `dift[ensemble=1,timestep=50]` -> `dift[ensemble=1]`."""
    method, bracket, rest = label.partition("[")
    if not bracket:
        return label
    inside, _, behind = rest.rpartition("]")
    kept = ",".join(one for one in inside.split(",") if not re.fullmatch(pattern, one))
    return f"{method}[{kept}]{behind}" if kept else f"{method}{behind}"


# ------------------------------------------------------------------------------------------------------------ from records


def lines_of(
    records: Iterable[Record],
    protocol: str,
    averaging: Averaging,
    localizers: Sequence[str] | None = None,
    apart: Mapping[str, str] | None = None,
) -> list[Line]:
    """One line per method, prompt, localizer, backbone and training data, over all datasets.

    A cell without the protocol has the numbers of another one, and a note that says so; a cell without numbers has a line with the reason.

    Args:
        localizers: keep only these.
        apart: cell id -> what sets it apart from another cell of its name (`harness.tables.labelled`).
    """
    merged: dict[tuple[str, ...], Line] = {}
    for record in records:
        for line in _lines(record, protocol, averaging, localizers, (apart or {}).get(record.cell.id)):
            earlier = merged.get(line.key)
            merged[line.key] = _joined(earlier, line) if earlier else line
    return list(merged.values())


def _lines(record: Record, protocol: str, averaging: Averaging, localizers: Sequence[str] | None, apart: str | None) -> Iterable[Line]:
    cell = record.cell
    unlike = [f"{cell.dataset}: {apart}"] if apart else []
    bare = Line(
        cell.label,
        cell.prompt,
        NOTHING,
        cell.backbone,
        cell.supervision,
        cell.trained_on or "",
        timestep=str(cell.params.get("timestep", "")),
        ensemble=str(cell.params.get("ensemble", "")),
    )
    if not record.scores:
        yield replace(bare, notes=(f"{cell.dataset}: {why(record)}", *unlike))
        return
    split = (cell.dataset, cell.split)
    seconds = seconds_per_pair(record)
    for localizer in sorted({score.localizer for score in record.scores}):
        if localizers is not None and localizer not in localizers:
            continue
        mine = [score for score in record.scores if score.localizer == localizer and score.averaging == averaging]
        protocols = sorted({score.protocol for score in mine})
        used = protocol if protocol in protocols else protocols[0]
        yield replace(
            bare,
            localizer=localizer,
            values={Column(*split, score.alpha, score.slice): score for score in mine if score.protocol == used},
            pairs={split: record.localizers[localizer].pairs},
            seconds={} if seconds is None else {split: seconds},
            cells={split: record},
            notes=(*notes_of(record, localizer), *unlike, *([] if used == protocol else [f"protocol {used}"])),
        )


def _joined(first: Line, other: Line) -> Line:
    return replace(
        first,
        values={**first.values, **other.values},
        pairs={**first.pairs, **other.pairs},
        seconds={**first.seconds, **other.seconds},
        cells={**first.cells, **other.cells},
        notes=first.notes + other.notes,
        remarks=first.remarks + other.remarks,
    )


def seconds_per_pair(record: Record) -> float | None:
    """Seconds for features and points of a pair, loading left out, of the run that computed them; None where none is known."""
    provenance = record.provenance
    if provenance is None or not provenance.computed_pairs:
        return None
    return sum(provenance.stages[name].seconds for name in ("extract", "locate") if name in provenance.stages) / provenance.computed_pairs


def why(record: Record) -> str:
    """A record's status, with the reason where there is one: what stands in the place of its numbers."""
    reason = record.error.message if record.error else record.reason
    return f"{record.status}: {reason}" if reason else record.status


def notes_of(record: Record, localizer: str) -> list[str]:
    """Why a row of this record is not ranked."""
    info, counts = record.localizers[localizer], record.counts
    notes = []
    if counts and record.coverage(localizer) == "limited":
        notes.append(f"{record.cell.dataset}: limited to {info.pairs + info.failed} of {counts.pairs - counts.excluded} pairs")
    if info.failed:
        notes.append(f"{record.cell.dataset}: {info.failed} {'pair' if info.failed == 1 else 'pairs'} failed")
    return notes


# -------------------------------------------------------------------------------------------------------------------- marks


def marked(lines: Sequence[Line], columns: Sequence[Column], first: int, *, mixed: bool = False) -> dict[tuple[int, int], Mark]:
    """(row, column) -> best or second, per column within a supervision group, as SD4Match's Tables 2 and 3 have it.

    Numbers that read alike are marked alike. A group of one row has no best. Rows with notes are no part of any group.

    Args:
        first: number of the first of `columns` among the table's.
        mixed: whether reported numbers stand in one group with measured ones.
    """
    found: dict[tuple[int, int], Mark] = {}
    for place, column in enumerate(columns, start=first):
        groups: dict[tuple[str, bool], dict[int, float]] = {}
        for row, line in enumerate(lines):
            if line.complete([column]):
                key = (line.supervision, line.reported and not mixed)
                groups.setdefault(key, {})[row] = round(line.values[column].pck, 1)
        for numbers in groups.values():
            if len(numbers) < 2:
                continue
            order = sorted(set(numbers.values()), reverse=True)
            marks: dict[float, Mark] = {order[0]: "best"}
            # Two that are best leave no second.
            if len(order) > 1 and list(numbers.values()).count(order[0]) == 1:
                marks[order[1]] = "second"
            found |= {(row, place): marks[number] for row, number in numbers.items() if number in marks}
    return found


def by_supervision(line: Line) -> tuple[int, str]:
    """Sorting key: Z, I, K, then whatever else a plugin calls itself."""
    return (SUPERVISION.index(line.supervision) if line.supervision in SUPERVISION else len(SUPERVISION), line.supervision)


def group_breaks(lines: Sequence[Line]) -> frozenset[int]:
    """Rows at which a group begins: another supervision, or reported after measured."""
    keys = [(line.supervision, line.reported) for line in lines]
    return frozenset(row for row in range(1, len(keys)) if keys[row] != keys[row - 1])
