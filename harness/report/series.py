"""Records as charts draw them: the series of each dataset's split, with distinct names, in order of PCK."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import count

from harness.messages import counted
from harness.records.coverage import coverage_notes
from harness.records.schema import Record, Score
from harness.report.redact import plain
from harness.tables.columns import RANKING_ALPHA
from harness.tables.intervals import OLD_MARK, has_old
from harness.tables.names import Names
from harness.tables.seeds import SeedMean, merge_seeds
from harness.tables.text import alpha_text, averaging_text, split_name
from harness.tables.view import View, named

_ASPECTS = ("prompt", "localizer", "backbone")
"""Properties that tell series of one label apart, in the order in which they are tried."""

LENGTHS = {
    "box": "the longer side of the target's box",
    "image": "the longer side of the target image",
    "points": "the extent of the target's points",
}
"""Threshold -> length that alpha multiplies, in words."""


SeriesKey = tuple[str, str, str, str]


@dataclass(frozen=True, eq=False)
class Series:
    """Numbers by one localizer, of one record or the mean of several seeds'.

    Attributes:
        record: the first seed's.
        seeds: those behind its numbers.
        localizer: as its predictions name it.
        localizer_name: as tables name it, with the options that set it apart.
        label: the method, distinct from others of its name.
        name: the label and whatever else sets it apart among the series it stands with, without its note.
        note: `limited to 60 of 250 pairs` or another reason why it cannot be compared; else empty.
        scores: (slice, alpha) -> number.
        style: number of its method's colour, marker and line, on the whole page.
    """

    record: Record
    localizer: str
    localizer_name: str
    label: str
    name: str
    note: str
    scores: Mapping[tuple[str, float], Score]
    style: int = 0
    seeds: tuple[int, ...] = (0,)

    @property
    def key(self) -> SeriesKey:
        """What it is wherever it stands on a page: label, prompt, localizer and backbone."""
        return self.label, self.record.cell.prompt, self.localizer_name, self.record.cell.backbone

    @property
    def title(self) -> str:
        """Name and note: the text of a series wherever it appears."""
        return f"{self.name} ({self.note})" if self.note else self.name

    @property
    def legend_title(self) -> str:
        """The title, marked where error bars are of a record of before."""
        return f"{self.name}{self.mark} ({self.note})" if self.note else f"{self.name}{self.mark}"

    @property
    def axis_label(self) -> str:
        """Name, marked likewise, and note on two lines, for a chart's axis."""
        name = f"{self.name}{self.mark}"
        return f"{name}\n{self.note}" if self.note else name

    @property
    def mark(self) -> str:
        """The mark of numbers whose intervals are of a record of before, where there are some."""
        return OLD_MARK if has_old(self.scores.values()) else ""

    @property
    def alphas(self) -> tuple[float, ...]:
        """Alphas that it has numbers over all pairs of, in order."""
        alphas = set()
        for slice_name, alpha in self.scores:
            if slice_name == "all":
                alphas.add(alpha)
        return tuple(sorted(alphas))

    @cached_property
    def slices(self) -> tuple[str, ...]:
        """Names of the slices that it has numbers of, each once."""
        return tuple(dict.fromkeys(slice_name for slice_name, _ in self.scores))

    def score(self, slice_name: str, alpha: float) -> Score | None:
        """Its number of a slice, None where it has none."""
        return self.scores.get((slice_name, alpha))

    def aspect(self, name: str) -> str:
        """Its prompt, localizer or backbone."""
        # A cell has several localizers, a series one of them.
        if name == "localizer":
            return self.localizer_name
        return str(getattr(self.record.cell, name))

    def pck(self, alpha: float) -> float:
        """PCK over all pairs in percent, -1 where there is none: for sorting."""
        score = self.score("all", alpha)
        return score.pck if score else -1.0


@dataclass(frozen=True, eq=False)
class SplitSeries:
    """The series of one dataset's split, complete ones first, then by PCK.

    Attributes:
        alpha: the alpha of charts that have only one.
        left_out: a part of a sentence for each record without numbers to draw.
        differences: whatever sets series apart that would otherwise have the same name.
        threshold: the length that alpha multiplies, in words.
    """

    dataset: str
    split: str
    alpha: float
    series: tuple[Series, ...]
    left_out: tuple[str, ...]
    differences: tuple[str, ...]
    threshold: str

    @property
    def title(self) -> str:
        """`birds (test split)`."""
        return plain(f"{self.dataset} ({self.split} split)")

    @property
    def short_title(self) -> str:
        """`birds` for the test split, `birds/val` for another."""
        return plain(split_name(self.dataset, self.split))

    def slice_scores(self, slice_name: str = "all") -> list[Score]:
        """Numbers of a slice, of every series that has it."""
        scores = []
        for series in self.series:
            score = series.score(slice_name, self.alpha)
            if score:
                scores.append(score)
        return scores


def series_by_split(records: Sequence[Record], view: View) -> list[SplitSeries]:
    """Returns the series of each dataset and split that the view has numbers of, in order of name."""
    records, view, names = named(records, view)
    by_split: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        by_split.setdefault((record.cell.dataset, record.cell.split), []).append(record)
    splits = []
    for key in sorted(by_split):
        split = _split_series(by_split[key], names, view)
        # Without series there is nothing to draw, and the page's overview names the split all the same.
        if split.series:
            splits.append(split)
    return _with_styles(splits)


def _with_styles(splits: Sequence[SplitSeries]) -> list[SplitSeries]:
    """The splits with one style for each method on all of them; the first ones differ most.

    Series of one label that stand in one chart, with two prompts, say, differ in style; those that never do
    share one.
    """
    keys: dict[SeriesKey, None] = {}
    # By rank, not split by split: charts draw the first few of each.
    for rank in range(max([len(split.series) for split in splits], default=0)):
        for split in splits:
            if rank < len(split.series):
                keys[split.series[rank].key] = None
    numbers = _numbers_within_labels(splits, list(keys))
    styles: dict[tuple[str, int], int] = {}
    for key in keys:
        styles.setdefault((key[0], numbers[key]), len(styles))
    styled = []
    for split in splits:
        series = [replace(each, style=styles[each.label, numbers[each.key]]) for each in split.series]
        styled.append(replace(split, series=tuple(series)))
    return styled


def _numbers_within_labels(splits: Sequence[SplitSeries], keys: Sequence[SeriesKey]) -> dict[SeriesKey, int]:
    """Numbers series of each label from 0, such that no two of one split have the same number."""
    together: dict[SeriesKey, set[SeriesKey]] = {}
    for split in splits:
        split_keys = {series.key for series in split.series}
        for key in split_keys:
            together.setdefault(key, set()).update(split_keys)
    numbers: dict[SeriesKey, int] = {}
    for key in keys:
        taken = {numbers[near] for near in together[key] if near[0] == key[0] and near in numbers}
        numbers[key] = next(number for number in count() if number not in taken)
    return numbers


def _split_series(records: Sequence[Record], names: Names, view: View) -> SplitSeries:
    series_list: list[Series] = []
    left_out: list[str] = []
    cell_differences: list[str] = []
    for mean in merge_seeds(records, view, names, is_by_slice=True):
        record = mean.record
        mean_series = _mean_series(mean, names, view)
        series_list += mean_series
        if not mean_series and (reason := _reason_left_out(mean, view)):
            left_out.append(plain(f"{record.cell.label} ({reason})"))
        for reason in (*names.reasons_of(record), *mean.remarks):
            cell_differences.append(plain(f"{record.cell.label}: {reason}"))
    alpha = _chart_alpha(series_list)
    return SplitSeries(
        dataset=records[0].cell.dataset,
        split=records[0].cell.split,
        alpha=alpha,
        series=rank_series(distinguish_names(series_list), alpha),
        left_out=tuple(left_out),
        differences=tuple(dict.fromkeys(cell_differences)),
        threshold=_threshold_text(series_list, view.protocol),
    )


def _chart_alpha(series_list: Sequence[Series]) -> float:
    """The alpha of charts that have only one: that of the tables' ranks, else the smallest there is."""
    alphas: set[float] = set()
    for series in series_list:
        alphas.update(series.alphas)
    if alphas and RANKING_ALPHA not in alphas:
        return min(alphas)
    return RANKING_ALPHA


def _threshold_text(series_list: Sequence[Series], protocol: str) -> str:
    """The length that alpha multiplies, in words; several lengths where records differ."""
    lengths = []
    for series in series_list:
        threshold = series.record.thresholds.get(protocol)
        if not threshold:
            continue
        # A threshold that has no words here stands for itself.
        length = LENGTHS.get(threshold, threshold)
        if length not in lengths:
            lengths.append(length)
    return " or ".join(lengths)


def _mean_series(mean: SeedMean, names: Names, view: View) -> list[Series]:
    record = mean.record
    seeds = tuple(member.cell.seed for member in mean.members)
    by_localizer: dict[str, dict[tuple[str, float], Score]] = {}
    for score in record.scores:
        if view.shows(score):
            by_localizer.setdefault(score.localizer, {})[score.slice, score.alpha] = score
    label = plain(record.cell.label)
    series_list = []
    for localizer, scores in by_localizer.items():
        notes = [*coverage_notes(record, localizer, view.protocol), *names.reasons_of(record, localizer)]
        notes += view.rule_notes(mean.members)
        note = "; ".join(notes)
        name = names.localizer(record, localizer)
        # Predictions and data are found by the names in the folder.
        original = names.original(record)
        series = Series(original, localizer, name, label, label, note, scores, seeds=seeds)
        series_list.append(series)
    return series_list


def _reason_left_out(mean: SeedMean, view: View) -> str:
    """The reason why records have no series; empty where its numbers are left out by the user's choice."""
    record = mean.record
    if not record.scores:
        return mean.status
    protocols = sorted({score.protocol for score in record.scores})
    if view.protocol in protocols:
        return "; ".join(view.lacking(record))
    return f"protocol {', '.join(protocols)} only"


def rank_series(series_list: Sequence[Series], alpha: float) -> tuple[Series, ...]:
    """Sorts series: complete ones first, then by PCK at an alpha, then by name."""
    # The name last, for ties: the order must not depend on that of the records.
    ranked = sorted(series_list, key=lambda series: (bool(series.note), -series.pck(alpha), series.name))
    return tuple(ranked)


def distinguish_names(
    series_list: Sequence[Series], label_of: Callable[[Series], str] = lambda series: series.label
) -> list[Series]:
    """Returns the series with names that say as much as sets them apart, and no more.

    `dift (category)` beside `dift (empty)`, but `dift` where it stands alone.
    """
    renamed = []
    for current in series_list:
        label = label_of(current)
        namesakes = []
        for series in series_list:
            if series is not current and label_of(series) == label:
                namesakes.append(series)
        name = label
        distinctions = _distinctions(current, namesakes)
        # Options that differ from another row's are said everywhere, whatever the method's name.
        if current.localizer_name != current.localizer and current.localizer_name not in distinctions:
            distinctions.append(current.localizer_name)
        if distinctions:
            name += f" ({', '.join(distinctions)})"
        renamed.append(replace(current, name=plain(name)))
    return renamed


def _distinctions(current: Series, namesakes: Sequence[Series]) -> list[str]:
    """Values of the aspects by which a series differs from those of the same label."""
    distinctions: list[str] = []
    for aspect in _ASPECTS:
        value = current.aspect(aspect)
        still_equal = [series for series in namesakes if series.aspect(aspect) == value]
        # An aspect that sets nothing further apart is left out of the name.
        if len(still_equal) < len(namesakes):
            distinctions.append(value)
        namesakes = still_equal
    return distinctions


def measure_text(split: SplitSeries, view: View, alpha: float | None) -> str:
    """Names the measure of a figure: unit, dataset, split, protocol, averaging, alpha."""
    measure = "PCK"
    if alpha is not None:
        measure += f"@{alpha_text(alpha)}"
    protocol = f"protocol {view.protocol}"
    if split.threshold:
        protocol += f" (within alpha times {split.threshold})"
    return f"{measure} in percent on {split.title}; {protocol}, mean {averaging_text(view.averaging)}"


def sample_size_text(scores: Sequence[Score], seeds: Sequence[int]) -> str:
    """`n = 600 pairs of 298 images, 5,739 keypoints, 1 seed`; ranges where series differ.

    Args:
        seeds: number of seeds of each series.
    """
    pairs = _range_text([score.pairs for score in scores], "pair")
    # Records of before do not say it.
    if images := [score.images for score in scores if score.images]:
        pairs = f"{pairs} of {_range_text(images, 'image')}"
    keypoints = _range_text([score.keypoints for score in scores], "keypoint")
    return f"n = {pairs}, {keypoints}, {_range_text(seeds, 'seed')}"


def _range_text(numbers: Sequence[int], unit: str) -> str:
    low = min(numbers, default=0)
    high = max(numbers, default=0)
    if low == high:
        return counted(low, unit)
    return f"{low:,} to {counted(high, unit)}"
