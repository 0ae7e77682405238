"""Which charts a results folder has, each with its caption and its numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from harness.messages import counted, listed
from harness.records.schema import Record, Score
from harness.report import charts
from harness.report.charts import MOST_SERIES, Line, Value
from harness.report.redact import plain
from harness.report.series import Group, Series, groups_of, n_of, named, what
from harness.tables.table import Table
from harness.tables.text import alpha_text, number_text, without_change
from harness.tables.timesteps import TIMESTEP
from harness.tables.view import View

MOST_BARS = 4
"""Most series of a chart with bars for each category: more make it too tall to be taken in."""

MOST_ROWS = 24
"""Most series of a heat map."""

MOST_VALUES = 12
"""Most values of a difficulty label that are drawn."""

_PROMPT_FILE = re.compile(r"prompt-file=([^,\]]+)")
_INTERVALS = "the 95 % bootstrap interval over image pairs"


@dataclass(frozen=True)
class Key:
    """An entry of a legend: the sample as SVG, and the series' title."""

    sample: str
    title: str


@dataclass(frozen=True)
class Figure:
    """A chart ready for the page.

    Attributes:
        key: unique in the page; begins the ids within.
        title: a heading.
        svg: the chart.
        caption: what it shows: dataset, split, protocol, unit, n, intervals, what is left out.
        summary: its accessible name.
        numbers: everything drawn, and what was left out for want of room.
        wide: whether it may be wider than a phone.
    """

    key: str
    title: str
    svg: str
    caption: str
    summary: str
    numbers: Table
    legend: tuple[Key, ...] = ()
    wide: bool = False


@dataclass(frozen=True)
class Section:
    """Figures of one kind, one for each split that has records of them."""

    key: str
    title: str
    figures: tuple[Figure, ...]


@dataclass
class _Keys:
    """Keys that no two figures share."""

    used: dict[str, int] = field(default_factory=dict)

    def new(self, kind: str) -> str:
        self.used[kind] = self.used.get(kind, 0) + 1
        return f"{kind}{self.used[kind]}"


def sections(records: Sequence[Record], view: View) -> list[Section]:
    """Every section that there are records of, in the page's order."""
    groups = groups_of(records, view)
    with_categories = [group for group in groups if _categories(group)]
    with_labels = [group for group in groups if _labels(group)]
    keys = _Keys()
    made = [
        Section("alpha", "PCK against alpha", tuple(_alpha(one, view, keys.new("alpha")) for one in groups)),
        Section(
            "heat",
            "Methods by category",
            tuple(_heat(one, view, keys.new("heat")) for one in with_categories),
        ),
        Section(
            "category",
            "PCK per category",
            tuple(_bars(one, view, keys.new("category")) for one in with_categories),
        ),
        Section(
            "difficulty",
            "PCK by difficulty",
            tuple(_difficulty(one, view, keys.new("difficulty")) for one in with_labels),
        ),
        Section("timestep", "PCK against timestep", tuple(_timesteps(records, view, keys))),
        Section("ablation", "Prompt files compared", tuple(_ablations(records, view, keys))),
    ]
    return [section for section in made if section.figures]


# ----------------------------------------------------------------------------------------------------------------- kinds


def _alpha(group: Group, view: View, key: str) -> Figure:
    alphas = sorted({alpha for one in group.series for alpha in one.alphas})
    drawn = group.series[:MOST_SERIES]
    lines = [
        Line(style, [_value(one.scores.get(("all", alpha))) for alpha in alphas])
        for style, one in enumerate(drawn)
    ]
    axis = f"alpha (share of {group.threshold})" if group.threshold else "alpha"
    best = drawn[0].scores.get(("all", group.at))
    return Figure(
        key=key,
        title=group.short,
        svg=charts.curves(alphas, lines, axis, [alpha_text(alpha) for alpha in alphas], key),
        caption=_caption(group, view, None, drawn, group.scores(), f"Error bars: {_INTERVALS}."),
        summary=f"Line chart, PCK against alpha on {group.title}, {counted(len(drawn), 'series', 'series')}."
        + (
            f" First at {alpha_text(group.at)}: {drawn[0].title}, {number_text(best)} percent."
            if best
            else ""
        ),
        numbers=_table(
            group.series, [(alpha_text(alpha), ("all", alpha)) for alpha in alphas], "PCK in percent at alpha"
        ),
        legend=_legend(drawn, key, "line"),
    )


def _heat(group: Group, view: View, key: str) -> Figure:
    names = _categories(group)
    parts = ["all", *(f"category={name}" for name in names)]
    drawn = group.series[:MOST_ROWS]
    values = [
        [score.pck if (score := one.scores.get((part, group.at))) else None for part in parts]
        for one in drawn
    ]
    return Figure(
        key=key,
        title=group.short,
        svg=charts.heat([one.lines for one in drawn], ["all", *map(plain, names)], values, key),
        caption=_caption(
            group,
            view,
            group.at,
            drawn,
            group.scores(),
            "Whole percent; the numbers below have the intervals.",
        )
        + f" n per category: {_per_category(group, names)}.",
        summary=f"Heat map, PCK of {counted(len(drawn), 'series', 'series')} on {counted(len(names), 'category', 'categories')} "
        f"of {group.title}; the numbers are in the table below.",
        numbers=_table(
            group.series, _columns(parts, group.at), f"PCK in percent at alpha {alpha_text(group.at)}"
        ),
        wide=True,
    )


def _bars(group: Group, view: View, key: str) -> Figure:
    names = _categories(group)
    parts = [f"category={name}" for name in names]
    drawn = group.series[:MOST_BARS]
    lines = [
        Line(style, [_value(one.scores.get((part, group.at))) for part in parts])
        for style, one in enumerate(drawn)
    ]
    return Figure(
        key=key,
        title=group.short,
        svg=charts.bars([plain(name) for name in names], lines, key),
        caption=_caption(group, view, group.at, drawn, group.scores(), f"Error bars: {_INTERVALS}.")
        + f" n per category: {_per_category(group, names)}.",
        summary=f"Bar chart, PCK of {counted(len(drawn), 'series', 'series')} on each category of {group.title}; "
        "the numbers are in the table below.",
        numbers=_table(
            group.series, _columns(parts, group.at), f"PCK in percent at alpha {alpha_text(group.at)}"
        ),
        legend=_legend(drawn, key, "bar"),
    )


def _difficulty(group: Group, view: View, key: str) -> Figure:
    labels = _labels(group)
    drawn = group.series[:MOST_SERIES]
    shown = {name: values[:MOST_VALUES] for name, values in labels.items()}
    lines = [
        [
            Line(style, [_value(one.scores.get((f"{name}={value}", group.at))) for value in values])
            for style, one in enumerate(drawn)
        ]
        for name, values in shown.items()
    ]
    ticks = [
        [f"{plain(value)}\nn={_pairs(group, f'{name}={value}')}" for value in values]
        for name, values in shown.items()
    ]
    parts = [f"{name}={value}" for name, values in labels.items() for value in values]
    cut = [
        f"{plain(name)}: the first {MOST_VALUES} of {len(values)} values are drawn; the numbers below have all."
        for name, values in labels.items()
        if len(values) > MOST_VALUES
    ]
    more = f"Across: the dataset's own labels, with n in pairs. Bars: {_INTERVALS}."
    return Figure(
        key=key,
        title=group.short,
        svg=charts.panels([plain(name) for name in shown], ticks, lines, key),
        caption=" ".join([_caption(group, view, group.at, drawn, group.scores(), more), *cut]),
        summary=f"Chart with {counted(len(labels), 'panel')} ({', '.join(map(plain, labels))}), PCK of "
        f"{counted(len(drawn), 'series', 'series')} on {group.title}; the numbers are in the table below.",
        numbers=_table(
            group.series, _columns(parts, group.at), f"PCK in percent at alpha {alpha_text(group.at)}"
        ),
        legend=_legend(drawn, key, "marker"),
    )


def _timesteps(records: Sequence[Record], view: View, keys: _Keys) -> Iterator[Figure]:
    for group in groups_of([record for record in records if TIMESTEP in record.cell.params], view):
        found: dict[tuple[str, ...], dict[int, Series]] = {}
        for one in group.series:
            cell = one.record.cell
            curve = (
                without_change(one.label, rf"{TIMESTEP}=\d+"),
                cell.prompt,
                one.localizer,
                cell.backbone,
                str(cell.seed),
            )
            found.setdefault(curve, {})[int(str(cell.params[TIMESTEP]))] = one
        swept = [steps for steps in found.values() if len(steps) > 1]
        if not swept:
            continue
        heads = named(
            [next(iter(steps.values())) for steps in swept],
            lambda one: without_change(one.label, rf"{TIMESTEP}=\d+"),
        )
        curves = [
            (replace(head, note=_notes(steps.values())), steps)
            for head, steps in zip(heads, swept, strict=True)
        ]
        curves.sort(key=lambda curve: (-max(one.pck(group.at) for one in curve[1].values()), curve[0].name))
        yield _timestep_chart(group, view, curves, keys.new("timestep"))


def _timestep_chart(
    group: Group, view: View, curves: Sequence[tuple[Series, Mapping[int, Series]]], key: str
) -> Figure:
    at = group.at
    steps = sorted({step for _, mine in curves for step in mine})
    drawn = curves[:MOST_SERIES]

    def score(mine: Mapping[int, Series], step: int) -> Score | None:
        return mine[step].scores.get(("all", at)) if step in mine else None

    lines = [
        Line(style, [_value(score(mine, step)) for step in steps]) for style, (_, mine) in enumerate(drawn)
    ]
    heads = [head for head, _ in drawn]
    scores = [one for _, mine in curves for step in steps if (one := score(mine, step))]
    more = f"Error bars: {_INTERVALS}."
    rows = tuple((str(step), *(number_text(score(mine, step)) for _, mine in curves), "") for step in steps)
    shown = replace(group, series=tuple(head for head, _ in curves))
    return Figure(
        key=key,
        title=group.short,
        svg=charts.curves(
            steps, lines, "timestep (of the diffusion model)", [str(step) for step in steps], key
        ),
        caption=_caption(shown, view, at, heads, scores, more),
        summary=f"Line chart, PCK against the timestep on {group.title}, {counted(len(drawn), 'series', 'series')}; "
        "the numbers are in the table below.",
        numbers=Table(
            f"PCK in percent at alpha {alpha_text(at)}",
            (TIMESTEP, *(head.title for head, _ in curves), "note"),
            rows,
            names=1,
        ),
        legend=_legend(heads, key, "line"),
    )


def _ablations(records: Sequence[Record], view: View, keys: _Keys) -> Iterator[Figure]:
    for group in groups_of([record for record in records if _prompt_file(record)], view):
        found: dict[tuple[str, ...], list[Series]] = {}
        for one in group.series:
            rest = without_change(one.label, _PROMPT_FILE.pattern)
            found.setdefault(
                (rest, one.record.cell.prompt, one.localizer, one.record.cell.features), []
            ).append(one)
        for (rest, prompt, localizer, _), series in found.items():
            files = [_prompt_file(one.record) for one in series]
            if len(set(files)) < 2:
                continue
            names = _short_files(files)
            shown = sorted(
                (replace(one, name=plain(name)) for one, name in zip(series, names, strict=True)),
                key=lambda one: (bool(one.note), -one.pck(group.at), one.name),
            )
            title = plain(f"{rest}, {group.short}")
            yield _ablation_chart(
                replace(group, series=tuple(shown)),
                view,
                title,
                f"prompt {prompt}, localizer {localizer}",
                keys.new("ablation"),
            )


def _ablation_chart(group: Group, view: View, title: str, more: str, key: str) -> Figure:
    series = group.series[:MOST_ROWS]
    values = [_value(one.scores.get(("all", group.at))) for one in series]
    return Figure(
        key=key,
        title=title,
        svg=charts.bars([one.lines for one in series], [Line(0, values)], key),
        caption=_caption(
            group,
            view,
            group.at,
            series,
            group.scores(),
            f"A bar for each prompt file; {plain(more)}. Error bars: {_INTERVALS}.",
        ),
        summary=f"Bar chart, PCK with {counted(len(series), 'prompt file')}, {title}; the numbers are in the table below.",
        numbers=_table(
            group.series,
            _columns(["all"], group.at),
            f"PCK in percent at alpha {alpha_text(group.at)}",
            "prompt file",
        ),
    )


# ----------------------------------------------------------------------------------------------------------------- parts


def _value(score: Score | None) -> Value | None:
    return Value(score.pck, score.low, score.high) if score else None


def _caption(
    group: Group, view: View, alpha: float | None, drawn: Sequence[Series], scores: Sequence[Score], more: str
) -> str:
    parts = [f"{what(group, view, alpha)}. {n_of(scores)}. {more}"]
    if len(group.series) > len(drawn):
        parts.append(
            f"The first {len(drawn)} of {len(group.series)} series are drawn; the numbers below have all."
        )
    if group.left_out:
        parts.append(f"Not drawn: {'; '.join(group.left_out)}.")
    if group.differs:
        parts.append(f"{'; '.join(group.differs)}.")
    return " ".join(parts)


def _legend(series: Sequence[Series], key: str, kind: Literal["line", "marker", "bar"]) -> tuple[Key, ...]:
    return tuple(
        Key(charts.swatch(style, kind, f"{key}-key{style}"), one.title) for style, one in enumerate(series)
    )


def _table(
    series: Sequence[Series],
    columns: Sequence[tuple[str, tuple[str, float]]],
    caption: str,
    first: str = "series",
) -> Table:
    return Table(
        caption=caption,
        header=(first, *(title for title, _ in columns), "n", "note"),
        rows=tuple(
            (one.name, *(number_text(one.scores.get(place)) for _, place in columns), _n(one), one.note)
            for one in series
        ),
        names=1,
    )


def _n(one: Series) -> str:
    score = next((score for (part, _), score in one.scores.items() if part == "all"), None)
    return f"{counted(score.pairs, 'pair')}, {counted(score.keypoints, 'keypoint')}" if score else "–"


def _columns(parts: Sequence[str], alpha: float) -> list[tuple[str, tuple[str, float]]]:
    return [(plain(part.removeprefix("category=")), (part, alpha)) for part in parts]


def _categories(group: Group) -> list[str]:
    """Names of the categories; none where there are fewer than two."""
    found = sorted(
        {
            part.removeprefix("category=")
            for one in group.series
            for part in one.slices
            if part.startswith("category=")
        }
    )
    return found if len(found) > 1 else []


def _labels(group: Group) -> dict[str, list[str]]:
    """Difficulty label -> its values, numbers in their order."""
    found: dict[str, set[str]] = {}
    for one in group.series:
        for part in one.slices:
            name, equals, value = part.partition("=")
            if equals and name != "category":
                found.setdefault(name, set()).add(value)
    return {name: sorted(values, key=_in_order) for name, values in sorted(found.items())}


def _in_order(value: str) -> tuple[bool, float, str]:
    try:
        return False, float(value), value
    except ValueError:
        return True, 0.0, value


def _pairs(group: Group, part: str) -> str:
    """Pairs of a slice: `120`, or a range where series differ."""
    numbers = sorted({score.pairs for score in group.scores(part)})
    return (
        "–" if not numbers else f"{numbers[0]:,}" if len(numbers) == 1 else f"{numbers[0]:,}–{numbers[-1]:,}"
    )


def _per_category(group: Group, names: Sequence[str]) -> str:
    """`60 pairs each`, or every category's number."""
    numbers = {name: _pairs(group, f"category={name}") for name in names}
    if len(set(numbers.values())) == 1:
        return f"{next(iter(numbers.values()))} pairs each"
    return listed([f"{plain(name)} {number}" for name, number in numbers.items()]) + " pairs"


def _notes(series: Iterable[Series]) -> str:
    """The notes of a curve's points, each once."""
    return "; ".join(dict.fromkeys(one.note for one in series if one.note))


def _prompt_file(record: Record) -> str:
    """The prompt file a user chose; else the name of the one that was used; empty where there is none."""
    if chosen := _PROMPT_FILE.search(record.cell.label):
        return chosen[1]
    used = record.provenance.weights.get("prompt file", {}) if record.provenance else {}
    return ", ".join(sorted(used))


def _short_files(files: Sequence[str]) -> list[str]:
    """`no-global/best.safetensors`, `pair-head/best.safetensors` -> `no-global`, `pair-head`: without the end that all folders share."""
    ends = {file.rpartition("/")[2] for file in files if "/" in file}
    if len(ends) != 1:
        return list(files)
    short = [file.rpartition("/")[0] or file for file in files]
    return short if len(set(short)) == len(set(files)) else list(files)
