"""Figures of methods that ran at several diffusion timesteps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from harness.records.labels import label_without
from harness.records.schema import Record, Score
from harness.report import charts
from harness.report.chart_style import MOST_SERIES, Curve
from harness.report.figure import (
    INTERVALS,
    NUMBERS_BELOW,
    Figure,
    chart_curve,
    count_series,
    figure_caption,
    figure_legend,
    numbers_table_caption,
)
from harness.report.series import Series, SeriesKey, SplitSeries, distinguish_names, series_by_split
from harness.tables.intervals import number_text
from harness.tables.table import Table
from harness.tables.text import alpha_text
from harness.tables.view import TIMESTEP, View


@dataclass(frozen=True, eq=False)
class _Sweep:
    """One method at several timesteps.

    Attributes:
        head: stands for the whole sweep: its name has no timestep, its note is that of all points.
        points: timestep -> series.
    """

    head: Series
    points: Mapping[int, Series]

    def score(self, step: int, alpha: float) -> Score | None:
        """PCK over all pairs at a timestep, None where the method did not run at it."""
        if step not in self.points:
            return None
        return self.points[step].score("all", alpha)


def timestep_figures(records: Sequence[Record], view: View) -> Iterator[Figure]:
    """A figure for each split on which a method ran at several timesteps."""
    swept = [record for record in records if TIMESTEP in record.cell.params]
    entries = []
    for split in series_by_split(swept, view):
        sweeps = _sweeps(split)
        if sweeps:
            entries.append((split, sweeps))
    # Behind those of the page's series: a sweep is another thing than one of its points.
    page_styles = [series.style for split in series_by_split(records, view) for series in split.series]
    first = max(page_styles, default=-1) + 1
    styles: dict[SeriesKey, int] = {}
    for _, sweeps in entries:
        for sweep in sweeps:
            styles.setdefault(_sweep_key(sweep), first + len(styles))
    for number, (split, sweeps) in enumerate(entries, start=1):
        styled = []
        for sweep in sweeps:
            styled.append(replace(sweep, head=replace(sweep.head, style=styles[_sweep_key(sweep)])))
        yield _timestep_figure(split, view, styled, f"timestep{number}")


def _sweep_key(sweep: _Sweep) -> SeriesKey:
    """What the sweep is wherever it stands on a page."""
    _, prompt, localizer, backbone = sweep.head.key
    return _label(sweep.head), prompt, localizer, backbone


def _sweeps(split: SplitSeries) -> list[_Sweep]:
    """Methods with at least two timesteps, those with the highest PCK first."""
    by_method: dict[tuple[str, ...], dict[int, Series]] = {}
    for series in split.series:
        cell = series.record.cell
        method = (_label(series), cell.prompt, series.localizer_name, cell.backbone)
        # By way of a text: to the type checker a parameter may be of any kind.
        timestep = int(str(cell.params[TIMESTEP]))
        by_method.setdefault(method, {})[timestep] = series
    # Names are made for the sweeps alone: their points differ in the timestep, which no name should have.
    swept, first_series = [], []
    for points in by_method.values():
        if len(points) > 1:
            swept.append(points)
            first_series.append(next(iter(points.values())))
    heads = distinguish_names(first_series, _label)
    sweeps = []
    for head, points in zip(heads, swept, strict=True):
        # Mostly all points have the same note, which is then given once.
        notes = dict.fromkeys(series.note for series in points.values())
        note = "; ".join(filter(None, notes))
        sweeps.append(_Sweep(replace(head, note=note), points))
    return sorted(sweeps, key=lambda sweep: (-_best_pck(sweep, split.alpha), sweep.head.name))


def _label(series: Series) -> str:
    """The series' label without its timestep."""
    return label_without(series.label, TIMESTEP)


def _best_pck(sweep: _Sweep, alpha: float) -> float:
    return max(series.pck(alpha) for series in sweep.points.values())


def _timestep_figure(split: SplitSeries, view: View, sweeps: Sequence[_Sweep], key: str) -> Figure:
    alpha = split.alpha
    all_steps: set[int] = set()
    for sweep in sweeps:
        all_steps.update(sweep.points)
    steps = sorted(all_steps)
    heads = [sweep.head for sweep in sweeps]
    drawn = heads[:MOST_SERIES]
    curves: list[Curve] = []
    scores: list[Score] = []
    for sweep in sweeps:
        # Methods may have run at different timesteps: a curve has gaps where it has no number.
        step_scores = [sweep.score(step, alpha) for step in steps]
        scores += filter(None, step_scores)
        curves.append(chart_curve(sweep.head.style, step_scores))
    axis = "timestep (of the diffusion model)"
    ticks = [str(step) for step in steps]
    caption = figure_caption(
        # A series of the caption's count is a sweep, not one of its points.
        replace(split, series=tuple(heads)),
        view,
        alpha,
        drawn=len(drawn),
        details=f"Error bars: {INTERVALS}.",
        scores=scores,
        seeds=[len(series.seeds) for sweep in sweeps for series in sweep.points.values()],
    )
    chart = f"Line chart, PCK against the timestep on {split.title}"
    return Figure(
        key=key,
        title=split.short_title,
        svg=charts.curve_chart(steps, curves[:MOST_SERIES], axis, ticks, key),
        caption=caption,
        summary=f"{chart}, {count_series(drawn)}; {NUMBERS_BELOW}",
        numbers=_steps_table(sweeps, steps, alpha),
        legend=figure_legend(drawn, key, "line"),
    )


def _steps_table(sweeps: Sequence[_Sweep], steps: Sequence[int], alpha: float) -> Table:
    """A row for each timestep, a column for each method."""
    rows = []
    shown: list[Score] = []
    for step in steps:
        scores = [sweep.score(step, alpha) for sweep in sweeps]
        shown += filter(None, scores)
        numbers = [number_text(score) for score in scores]
        rows.append((str(step), *numbers, ""))
    titles = [sweep.head.title for sweep in sweeps]
    caption = numbers_table_caption(f"PCK in percent at alpha {alpha_text(alpha)}", shown)
    return Table(caption, (TIMESTEP, *titles, "note"), tuple(rows), names=1)
