"""Figures of methods that ran with several learned prompts: an ablation is such a set of prompt files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from harness.messages import counted
from harness.records.labels import label_without
from harness.records.schema import Record
from harness.report import charts
from harness.report.figure import (
    INTERVALS,
    NUMBERS_BELOW,
    Figure,
    chart_curve,
    figure_caption,
    slice_table,
)
from harness.report.redact import plain
from harness.report.series import Series, SplitSeries, rank_series, series_by_split
from harness.report.slice_figures import MOST_ROWS
from harness.tables.view import View

_PROMPT_FILE = re.compile(r"prompt-file=([^,\]]+)")


def prompt_file_figures(records: Sequence[Record], view: View) -> Iterator[Figure]:
    """A figure for each method and split with at least two prompt files."""
    number = 0
    with_files = [record for record in records if _prompt_file(record)]
    for split in series_by_split(with_files, view):
        for method, method_series in _group_by_method(split.series).items():
            files = [_prompt_file(series.record) for series in method_series]
            # A bar alone compares nothing; several seeds of one file are not an ablation.
            if len(set(files)) < 2:
                continue
            number += 1
            ranked = rank_series(_name_by_file(method_series, files), split.alpha)
            label, prompt, localizer, _ = method
            yield _prompt_file_figure(
                replace(split, series=ranked),
                view,
                title=plain(f"{label}, {split.short_title}"),
                method=plain(f"prompt {prompt}, localizer {localizer}"),
                key=f"ablation{number}",
            )


def _group_by_method(series_list: Sequence[Series]) -> dict[tuple[str, ...], list[Series]]:
    """Label, prompt, localizer and features -> the series that differ in the prompt's file alone."""
    by_method: dict[tuple[str, ...], list[Series]] = {}
    for series in series_list:
        cell = series.record.cell
        label = label_without(series.label, "prompt-file")
        method = (label, cell.prompt, series.localizer_name, cell.features)
        by_method.setdefault(method, []).append(series)
    return by_method


def _name_by_file(series_list: Sequence[Series], files: Sequence[str]) -> list[Series]:
    """The series, each named by its prompt file."""
    names = _without_common_name(files)
    renamed = []
    for series, name in zip(series_list, names, strict=True):
        renamed.append(replace(series, name=plain(name)))
    return renamed


def _prompt_file_figure(split: SplitSeries, view: View, title: str, method: str, key: str) -> Figure:
    """
    Args:
        method: prompt type and localizer, in words.
    """
    drawn = split.series[:MOST_ROWS]
    # All bars have one style: each series is a position of the same curve.
    scores = [series.score("all", split.alpha) for series in drawn]
    bars = chart_curve(0, scores)
    labels = [series.axis_label for series in drawn]
    details = f"A bar for each prompt file; {method}. Error bars: {INTERVALS}."
    return Figure(
        key=key,
        title=title,
        svg=charts.bar_chart(labels, [bars], key),
        caption=figure_caption(split, view, split.alpha, drawn=len(drawn), details=details),
        summary=f"Bar chart, PCK with {counted(len(drawn), 'prompt file')}, {title}; {NUMBERS_BELOW}",
        numbers=slice_table(split, ["all"], "prompt file"),
    )


def _prompt_file(record: Record) -> str:
    """The prompt file that a user chose, else the name of the one that was used; empty if there is none."""
    if chosen := _PROMPT_FILE.search(record.cell.label):
        return chosen[1]
    if record.provenance is None:
        return ""
    # The prompt that a method finds by itself is not in its label, but its hash is in the record.
    return ", ".join(sorted(record.provenance.weights.get("prompt file", {})))


def _without_common_name(files: Sequence[str]) -> list[str]:
    """Paths without the file name that all of them share, where they stay distinct without it.

    `no-global/best.safetensors` and `pair-head/best.safetensors` become `no-global` and `pair-head`.
    """
    names, folders = set(), []
    for file in files:
        folder, slash, name = file.rpartition("/")
        folders.append(folder or file)
        if slash:
            names.add(name)
    is_distinct = len(set(folders)) == len(set(files))
    if len(names) == 1 and is_distinct:
        return folders
    return list(files)
