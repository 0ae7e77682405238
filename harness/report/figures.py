"""All figures of a results folder, in sections of one kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.records.schema import Record
from harness.report.figure import Figure
from harness.report.prompt_file_figures import prompt_file_figures
from harness.report.series import SplitSeries, series_by_split
from harness.report.slice_figures import (
    alpha_figure,
    categories_of,
    category_figure,
    difficulty_figure,
    heat_figure,
    labels_of,
)
from harness.report.timestep_figures import timestep_figures
from harness.tables.view import View


@dataclass(frozen=True)
class Section:
    """Figures of one kind, one for each split that has records of them."""

    key: str
    title: str
    figures: tuple[Figure, ...]


def sections(records: Sequence[Record], view: View) -> list[Section]:
    """Every section that there are records of, in the page's order."""
    splits = series_by_split(records, view)
    with_categories, with_labels = [], []
    for split in splits:
        if categories_of(split):
            with_categories.append(split)
        if labels_of(split):
            with_labels.append(split)
    alpha = _draw_each(alpha_figure, splits, view, "alpha")
    heat = _draw_each(heat_figure, with_categories, view, "heat")
    category = _draw_each(category_figure, with_categories, view, "category")
    difficulty = _draw_each(difficulty_figure, with_labels, view, "difficulty")
    candidates = [
        Section("alpha", "PCK against alpha", alpha),
        Section("heat", "Methods by category", heat),
        Section("category", "PCK per category", category),
        Section("difficulty", "PCK by difficulty", difficulty),
        # These two choose their own records: a split may have several of their figures, or none.
        Section("timestep", "PCK against timestep", tuple(timestep_figures(records, view))),
        Section("ablation", "Prompt files compared", tuple(prompt_file_figures(records, view))),
    ]
    return [section for section in candidates if section.figures]


def _draw_each(
    draw: Callable[[SplitSeries, View, str], Figure], splits: Sequence[SplitSeries], view: View, kind: str
) -> tuple[Figure, ...]:
    """One figure for each split, with keys `alpha1`, `alpha2`, ..."""
    figures = []
    for number, split in enumerate(splits, start=1):
        figures.append(draw(split, view, f"{kind}{number}"))
    return tuple(figures)
