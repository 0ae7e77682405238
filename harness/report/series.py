"""Records as what charts draw: series of one dataset's split, named apart and ranked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from harness.messages import counted
from harness.records.schema import Record, Score, coverage_notes, status_text
from harness.report.redact import plain
from harness.tables.rows import RANKING_ALPHA
from harness.tables.text import alpha_text, split_name
from harness.tables.tidy import distinguish_labels
from harness.tables.view import View

_ASPECTS = ("prompt", "localizer", "backbone")

LENGTHS = {
    "box": "the longer side of the target's box",
    "image": "the longer side of the target image",
    "points": "the extent of the target's points",
}
"""Threshold -> what alpha multiplies, in words."""


@dataclass(frozen=True, eq=False)
class Series:
    """One record's numbers by one localizer.

    Attributes:
        label: the method, told apart from others of its name.
        name: label and what else tells it apart among the series it stands with, without its note.
        note: what keeps it from being comparable, `limited: 60 of 250 pairs`; empty where nothing does.
        scores: (slice, alpha) -> number.
    """

    record: Record
    localizer: str
    label: str
    name: str
    note: str
    scores: Mapping[tuple[str, float], Score]

    @property
    def title(self) -> str:
        """Name and note: what stands wherever the series appears."""
        return f"{self.name} ({self.note})" if self.note else self.name

    @property
    def lines(self) -> str:
        """The same on two lines, for a chart's axis."""
        return f"{self.name}\n{self.note}" if self.note else self.name

    @property
    def alphas(self) -> tuple[float, ...]:
        return tuple(sorted({alpha for part, alpha in self.scores if part == "all"}))

    @cached_property
    def slices(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(part for part, _ in self.scores))

    def aspect(self, name: str) -> str:
        """Its prompt, localizer or backbone."""
        return self.localizer if name == "localizer" else str(getattr(self.record.cell, name))

    def pck(self, alpha: float) -> float:
        """PCK over all pairs in percent, -1 where there is none: for sorting."""
        score = self.scores.get(("all", alpha))
        return score.pck if score else -1.0


@dataclass(frozen=True, eq=False)
class Group:
    """The series of one dataset's split, complete ones first, then by PCK.

    Attributes:
        at: the alpha of charts at one.
        left_out: a sentence part for each record without numbers to draw.
        differs: what sets series apart that would otherwise have one name.
        threshold: what alpha multiplies, in words.
    """

    dataset: str
    split: str
    at: float
    series: tuple[Series, ...]
    left_out: tuple[str, ...]
    differs: tuple[str, ...]
    threshold: str

    @property
    def title(self) -> str:
        return plain(f"{self.dataset} ({self.split} split)")

    @property
    def short(self) -> str:
        return plain(split_name(self.dataset, self.split))

    def scores(self, part: str = "all", alpha: float | None = None) -> list[Score]:
        """What every series has there."""
        at = self.at if alpha is None else alpha
        return [one.scores[part, at] for one in self.series if (part, at) in one.scores]


def groups_of(records: Sequence[Record], view: View) -> list[Group]:
    """A group for each dataset and split that the view has numbers of, in order of name."""
    records, differs = distinguish_labels(records)
    places = sorted({(record.cell.dataset, record.cell.split) for record in records})
    found = [
        _group([one for one in records if (one.cell.dataset, one.cell.split) == place], differs, view)
        for place in places
    ]
    return [group for group in found if group.series]


def _group(records: Sequence[Record], differs: Mapping[str, str], view: View) -> Group:
    series: list[Series] = []
    left_out: list[str] = []
    for record in records:
        mine = _series(record, view)
        series += mine
        if not record.scores:
            left_out.append(plain(f"{record.cell.label} ({status_text(record)})"))
        elif not mine:
            protocols = sorted({score.protocol for score in record.scores})
            if view.protocol not in protocols:
                left_out.append(plain(f"{record.cell.label} (protocol {', '.join(protocols)} only)"))
    alphas = {alpha for one in series for alpha in one.alphas}
    at = RANKING_ALPHA if RANKING_ALPHA in alphas or not alphas else min(alphas)
    thresholds = dict.fromkeys(one.record.thresholds.get(view.protocol, "") for one in series)
    return Group(
        dataset=records[0].cell.dataset,
        split=records[0].cell.split,
        at=at,
        series=tuple(sorted(named(series), key=lambda one: (bool(one.note), -one.pck(at), one.name))),
        left_out=tuple(left_out),
        differs=tuple(
            plain(f"{one.cell.label}: {differs[one.cell.id]}") for one in records if one.cell.id in differs
        ),
        threshold=" or ".join(LENGTHS.get(one, one) for one in thresholds if one),
    )


def _series(record: Record, view: View) -> list[Series]:
    found: dict[str, dict[tuple[str, float], Score]] = {}
    for score in record.scores:
        if view.shows(score):
            found.setdefault(score.localizer, {})[score.slice, score.alpha] = score
    label = plain(record.cell.label)
    return [
        Series(record, name, label, label, "; ".join(coverage_notes(record, name)), scores)
        for name, scores in found.items()
    ]


def named(series: Sequence[Series], label: Callable[[Series], str] = lambda one: one.label) -> list[Series]:
    """Series with names that say as much as tells them apart, and no more: `dift (category)` beside `dift (empty)`."""
    found = []
    for one in series:
        others = [other for other in series if other is not one and label(other) == label(one)]
        apart: list[str] = []
        for aspect in _ASPECTS:
            unlike = [other for other in others if other.aspect(aspect) != one.aspect(aspect)]
            if unlike:
                apart.append(one.aspect(aspect))
                others = [other for other in others if other not in unlike]
        found.append(replace(one, name=plain(f"{label(one)} ({', '.join(apart)})" if apart else label(one))))
    return found


def what(group: Group, view: View, alpha: float | None) -> str:
    """What a figure's numbers are: measure, unit, dataset, split, protocol, averaging, alpha."""
    at = f"@{alpha_text(alpha)}" if alpha is not None else ""
    size = f" (within alpha times {group.threshold})" if group.threshold else ""
    return f"PCK{at} in percent on {group.title}; protocol {view.protocol}{size}, mean per {view.averaging}"


def n_of(scores: Sequence[Score]) -> str:
    """`n = 600 pairs, 5,739 keypoints`; ranges where series differ."""
    return f"n = {_range([one.pairs for one in scores], 'pair')}, {_range([one.keypoints for one in scores], 'keypoint')}"


def _range(numbers: Sequence[int], unit: str) -> str:
    low, high = min(numbers, default=0), max(numbers, default=0)
    return counted(low, unit) if low == high else f"{low:,} to {counted(high, unit)}"
