"""Cells that differ in nothing but the seed become one: each number is the mean over the seeds.

Only seeds of the same pairs are averaged. Where a seed has other pairs, failed or has no number of what is
shown, it is left out, and a remark says so.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import fsum
from typing import TYPE_CHECKING

from harness.messages import counted
from harness.records.coverage import coverage_notes
from harness.records.labels import seedless_label
from harness.records.schema import Record, Score, seconds_per_pair, status_text
from harness.records.slices import POINT_SLICES
from harness.tables.text import NOTHING, split_name
from harness.tables.tuning import merged_tuned_on

if TYPE_CHECKING:
    from harness.tables.names import Names
    from harness.tables.row import Row
    from harness.tables.view import View

DRAWN_TOGETHER = "images and seeds are drawn together"
"""What an interval of several seeds is over."""

_DECIMALS = 10
"""Of a mean, as records keep them: it does not depend on the order of the seeds."""


@dataclass(frozen=True)
class SeedMean:
    """Cells of one method on one split that differ in the seed alone, as one record.

    Attributes:
        record: the first one, with a label without seed and the means of all as its scores; where there are
            several, of one localizer.
        members: the records averaged, in order of seed; all of them where none has numbers.
        remarks: which seeds were left out, and why; the seed where it is one alone and not 0; why there
            are no intervals.
    """

    record: Record
    members: tuple[Record, ...]
    remarks: tuple[str, ...] = ()

    @property
    def status(self) -> str:
        """The status with the reason, for cells without numbers; with the seed where reasons differ."""
        texts = {record.cell.seed: status_text(record) for record in self.members}
        if len(set(texts.values())) == 1:
            return next(iter(texts.values()))
        return "; ".join(f"seed {seed}: {text}" for seed, text in texts.items())

    @property
    def seconds(self) -> float | None:
        """Mean of the seconds per pair; None where unknown."""
        known = [seconds for seconds in map(seconds_per_pair, self.members) if seconds is not None]
        return fsum(known) / len(known) if known else None

    @property
    def is_mixed(self) -> bool:
        """Says whether one cell's predictions were made in several environments."""
        return any(record.provenance is not None and record.provenance.is_mixed for record in self.members)


def merge_seeds(
    records: Sequence[Record], view: View, names: Names, *, is_by_slice: bool = False
) -> list[SeedMean]:
    """The records with those that differ in the seed alone as one, each in the place of its first.

    Args:
        records: with the names that tables print.
        is_by_slice: whether intervals are needed of each slice, and not over all pairs alone.
    """
    groups: dict[tuple[str, ...], list[Record]] = {}
    for record in records:
        cell = record.cell
        key = (seedless_label(record), cell.prompt, cell.backbone, cell.trained_on or "")
        groups.setdefault((*key, cell.dataset, cell.split), []).append(record)
    means: list[SeedMean] = []
    for group in groups.values():
        if len(group) == 1:
            means.append(_only(group[0]))
        else:
            means += _merge(sorted(group, key=lambda record: record.cell.seed), view, names, is_by_slice)
    return means


def _only(record: Record) -> SeedMean:
    seed = record.cell.seed
    remarks = (f"seed {seed}",) if seed and record.scores else ()
    return SeedMean(_with_label(record), (record,), remarks)


def _merge(group: Sequence[Record], view: View, names: Names, is_by_slice: bool) -> list[SeedMean]:
    """One mean for each localizer; one where no record has numbers."""
    scored = [record for record in group if record.scores]
    if not scored:
        return [SeedMean(_with_label(group[0]), tuple(group))]
    # Options, or the version of its code, may set localizers of one name apart.
    by_localizer: dict[tuple[str, str], list[Record]] = {}
    for record in scored:
        for localizer in sorted({score.localizer for score in record.scores}):
            by_localizer.setdefault((localizer, names.localizer(record, localizer)), []).append(record)
    means = []
    for (localizer, _), having in by_localizer.items():
        # Records without numbers are of no localizer: every mean lacks them.
        lacking = [record for record in group if record not in scored or _has_lost(record, localizer)]
        mean = _mean_of(having, localizer, lacking, view)
        if len(mean.members) > 1:
            mean = _with_intervals(mean, localizer, view, names, is_by_slice)
        means.append(mean)
    return means


def _has_lost(record: Record, localizer: str) -> bool:
    """Says whether a localizer ran on all that it was given in vain."""
    return localizer in record.localizers and all(score.localizer != localizer for score in record.scores)


def _mean_of(having: Sequence[Record], localizer: str, lacking: Sequence[Record], view: View) -> SeedMean:
    """The mean of the records that have the same pairs: as many pairs, then as many seeds as there can be."""
    protocol = _protocol_of(having, localizer, view)
    classes: dict[object, list[Record]] = {}
    for record in having:
        classes.setdefault(_basis(record, localizer, protocol), []).append(record)

    def order(members: Sequence[Record]) -> tuple[int, int, int]:
        return _pairs(members[0], localizer, protocol), len(members), -members[0].cell.seed

    members = max(classes.values(), key=order)
    first = members[0]
    left = {record.cell.seed: status_text(record) for record in lacking}
    for record in having:
        if record not in members:
            left[record.cell.seed] = _difference(record, first, localizer, protocol)
    remarks = [f"seed {seed} left out: {reason}" for seed, reason in sorted(left.items())]
    if len(members) == 1 and first.cell.seed:
        remarks.insert(0, f"seed {first.cell.seed}")
    changes: dict[str, object] = {
        "scores": [score for score in first.scores if score.localizer == localizer],
        "localizers": {name: info for name, info in first.localizers.items() if name == localizer},
    }
    if len(members) > 1:
        changes["scores"] = _mean_scores(members, localizer)
    tuned_on = first.cell.tuned_on
    for record in members[1:]:
        tuned_on = merged_tuned_on(tuned_on, record.cell.tuned_on)
    mean = _with_label(first)
    changes["cell"] = mean.cell.model_copy(update={"tuned_on": tuned_on})
    return SeedMean(mean.model_copy(update=changes), tuple(members), tuple(remarks))


def _with_label(record: Record) -> Record:
    label = seedless_label(record)
    if label == record.cell.label:
        return record
    return record.model_copy(update={"cell": record.cell.model_copy(update={"label": label})})


def _protocol_of(records: Sequence[Record], localizer: str, view: View) -> str:
    """The view's protocol, or the first by name that has numbers."""
    protocols: set[str] = set()
    for record in records:
        protocols |= {score.protocol for score in record.scores if score.localizer == localizer}
    return view.protocol if view.protocol in protocols else min(protocols)


def _basis(record: Record, localizer: str, protocol: str) -> object:
    """What numbers of two seeds must have in common to be averaged: pairs, and parameters."""
    # Records of earlier versions lack slices of points, on the same pairs.
    sizes = frozenset(
        (score.slice, score.pairs, score.keypoints)
        for score in record.scores
        if score.localizer == localizer and score.protocol == protocol and score.slice not in POINT_SLICES
    )
    failed = frozenset(
        failure.pair_id for failure in record.failures if failure.concerns(localizer, protocol)
    )
    return sizes, failed, record.cell.fed, json.dumps(record.cell.params, sort_keys=True)


def _pairs(record: Record, localizer: str, protocol: str) -> int:
    sizes = [
        score.pairs for score in record.scores if score.localizer == localizer and score.protocol == protocol
    ]
    return max(sizes, default=0)


def _difference(record: Record, first: Record, localizer: str, protocol: str) -> str:
    """Why a record is not averaged with the first."""
    if not _pairs(record, localizer, protocol):
        return f"no protocol {protocol}; 'bench rescore' adds it"
    if (record.cell.fed, record.cell.params) != (first.cell.fed, first.cell.params):
        return "other parameters"
    notes = coverage_notes(record, localizer, protocol)
    return "; ".join(notes) or f"other pairs than seed {first.cell.seed}"


def _mean_scores(members: Sequence[Record], localizer: str) -> list[Score]:
    """Means of the numbers that all have, without intervals."""
    by_key: dict[tuple[object, ...], list[Score]] = {}
    for record in members:
        for score in record.scores:
            if score.localizer == localizer:
                place = (score.protocol, score.averaging, score.alpha, score.slice)
                by_key.setdefault((*place, score.pairs, score.keypoints), []).append(score)
    means = []
    for scores in by_key.values():
        if len(scores) == len(members):
            mean = round(fsum(score.pck for score in scores) / len(scores), _DECIMALS)
            means.append(scores[0].model_copy(update={"pck": mean, "low": None, "high": None}))
    return means


def _with_intervals(mean: SeedMean, localizer: str, view: View, names: Names, is_by_slice: bool) -> SeedMean:
    """The mean with intervals over images and seeds, where the view finds them."""
    if view.seed_intervals is None:
        return mean
    wanted = [
        score
        for score in mean.record.scores
        if score.protocol == view.protocol
        and score.averaging == view.averaging
        and (is_by_slice or score.slice == "all")
    ]
    if not wanted:
        return mean
    originals = [names.original(record) for record in mean.members]
    found = view.seed_intervals(originals, localizer, wanted)
    if isinstance(found, str):
        return SeedMean(mean.record, mean.members, (*mean.remarks, f"no ± over seeds: {found}"))
    places = {(score.slice, score.alpha): score for score in found}
    scores = []
    for score in mean.record.scores:
        is_wanted = score.protocol == view.protocol and score.averaging == view.averaging
        scores.append(places.get((score.slice, score.alpha), score) if is_wanted else score)
    return SeedMean(mean.record.model_copy(update={"scores": scores}), mean.members, mean.remarks)


def seeds_text(seeds: Mapping[tuple[str, str], int]) -> str:
    """`3 seeds`, or `3 seeds; pf-pascal 1 seed` where splits differ; an en dash without numbers.

    Args:
        seeds: split -> number of seeds.
    """
    counts = list(seeds.values())
    if not counts:
        return NOTHING
    usual = max(sorted(set(counts), reverse=True), key=counts.count)
    texts = [counted(usual, "seed")]
    for split, count in sorted(seeds.items()):
        if count != usual:
            texts.append(f"{split_name(*split)} {counted(count, 'seed')}")
    return "; ".join(texts)


def seeds_sentence(counts: Iterable[int]) -> str:
    """A caption's sentence on the seeds behind numbers; empty without numbers.

    Numbers of more seeds than the fewest must have a note.
    """
    counts = set(counts)
    if not counts:
        return ""
    usual = min(counts)
    text = "Each number is of 1 seed" if usual == 1 else f"Each number is the mean of {usual} seeds"
    if len(counts) > 1:
        text += ", or the mean of as many as its note says"
    return f"{text}; {DRAWN_TOGETHER}." if max(counts) > 1 else f"{text}."


def compared_seeds_sentence(seeds: Mapping[tuple[str, str], int]) -> str:
    """A sentence on the seeds of compared runs: `1 seed.`, or how numbers of several are to be read.

    Args:
        seeds: split -> number of seeds.
    """
    text = seeds_text(seeds)
    if max(seeds.values()) == 1:
        return f"{text}."
    return (
        f"{text}: PCK is their mean, and {DRAWN_TOGETHER}. A : B adds them up; McNemar's test is left out, "
        "as it would count each keypoint several times."
    )


def tell_seeds(rows: Sequence[Row]) -> tuple[list[Row], str]:
    """Rows of a table that has no column of seeds, and a sentence on these for its caption.

    Rows have remarks where they differ in seeds.
    """
    counts = [count for row in rows for count in row.seeds.values()]
    usual = min(counts, default=1)
    told = []
    for row in rows:
        is_usual = all(count == usual for count in row.seeds.values())
        told.append(row if is_usual else replace(row, remarks=(*row.remarks, seeds_text(row.seeds))))
    return told, seeds_sentence(counts)
