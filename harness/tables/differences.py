"""Differences of two runs, or of one run under several protocols, keypoint by keypoint: rows and tables.

A difference is the PCK of B (`Comparison.side_b`) minus that of A (`Comparison.side_a`), on the pairs that
both have: a positive one favours B.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Collection, Sequence

import numpy as np

from harness.messages import counted
from harness.records.slices import POINT_SLICE_TEXTS, category_of, pairs_in, points_in
from harness.scoring.averages import slice_columns, weigh_pairs
from harness.scoring.bootstrap import (
    LEAST_IMAGES,
    LEAST_P,
    RESAMPLES,
    Estimates,
    estimate,
)
from harness.scoring.comparison import SIDE_KEYS, Comparison
from harness.scoring.paired import holm, mcnemar
from harness.scoring.pck import percent
from harness.scoring.ranks import detectable_estimates
from harness.specs import Averaging
from harness.tables.changed_pairs import (
    changed_pairs_table,
    difference_cell,
    most_changed_pairs,
    number_cell,
)
from harness.tables.plain import FILE_WIDTH, terminal_width, wrap_text
from harness.tables.seeds import compared_seeds_sentence
from harness.tables.table import Format, Table, TidyRow
from harness.tables.text import NOTHING, alpha_text, averaging_text, split_name

FORMATS: tuple[Format, ...] = ("text", "md", "csv", "json")

KEYS = (
    *("dataset", "split", "seed", "averaging", "slice", "alpha"),
    *(f"{key}_a" for key in SIDE_KEYS),
    *(f"{key}_b" for key in SIDE_KEYS),
    *("pck_a", "pck_b", "difference", "low", "high", "detectable", "p", "p_holm"),
    *("only_a", "only_b", "p_mcnemar", "p_mcnemar_holm"),
    *("pairs", "keypoints", "images", "left_out_a", "left_out_b", "seeds"),
)
"""Columns of the CSV and keys of the JSON differences.

`pck`, `difference`, `low`, `high` and `detectable` are in percent (points); `only` counts keypoints that this
side alone has right, under all seeds together; `left_out` counts pairs that this side alone has. `seed` is
empty where there are several, whose cells are joined by `+`.
"""

_HEADER = (
    *("dataset", "category", "alpha", "A", "B", "B − A", "95 %", "finds", "p"),
    *("A : B", "p McNemar", "pairs", "keypoints", "note"),
)


def differences(comparisons: Sequence[Comparison], asked: Averaging | None) -> list[list[TidyRow]]:
    """The rows of each comparison, one for each alpha and slice.

    P-values of a kind are adjusted over the rows of all comparisons together.

    Args:
        asked: the average of all rows; None for that of each comparison (`Comparison.averaging`).
    """
    tables: list[list[TidyRow]] = []
    all_rows: list[TidyRow] = []
    for comparison in comparisons:
        rows = _rows(comparison, asked or comparison.averaging)
        tables.append(rows)
        all_rows += rows
    for key in ("p", "p_mcnemar"):
        # A row without p-value, of too few images to draw from, is no test and costs the others nothing.
        tested: list[TidyRow] = []
        p_values: list[float] = []
        for row in all_rows:
            if row[key] is not None:
                tested.append(row)
                p_values.append(float(str(row[key])))
        for row, adjusted in zip(tested, holm(p_values), strict=True):
            row[f"{key}_holm"] = adjusted
    return tables


def _rows(comparison: Comparison, averaging: Averaging) -> list[TidyRow]:
    """The rows of one comparison, without adjusted p-values."""
    pck, estimates = _pck_and_difference(comparison, averaging)
    difference = estimates.draws().interval()
    detectable = detectable_estimates(estimates)
    # With few images, the tails of Student's distribution reach beyond any possible difference.
    low = np.clip(difference.low, -1, 1)
    high = np.clip(difference.high, -1, 1)
    cell = comparison.side_a.cell.record.cell
    # Slices times alphas, as `_pck_and_difference` orders its columns.
    numbers = range(len(comparison.alphas))
    columns = itertools.product(comparison.slices, numbers)
    rows: list[TidyRow] = []
    for column, (name, number) in enumerate(columns):
        in_slice = comparison.slices[name]
        only_a = int(comparison.only[:, 0, in_slice, number].sum())
        only_b = int(comparison.only[:, 1, in_slice, number].sum())
        p_value = float(difference.p[column])
        row: TidyRow = {
            "dataset": cell.dataset,
            "split": cell.split,
            "seed": comparison.seed,
            "averaging": averaging,
            "slice": points_in(comparison.point_slice, name),
            "alpha": comparison.alphas[number],
            **_side_values(comparison),
            "pck_a": _percent(pck[0, column]),
            "pck_b": _percent(pck[1, column]),
            "difference": _percent(difference.value[column]),
            "low": _percent(low[column]),
            "high": _percent(high[column]),
            "detectable": _percent(detectable[column]),
            "p": None if np.isnan(p_value) else p_value,
            "p_holm": None,
            "only_a": only_a,
            "only_b": only_b,
            # The same keypoint under another seed is no other keypoint.
            "p_mcnemar": mcnemar(only_a, only_b) if len(comparison.seeds) == 1 else None,
            "p_mcnemar_holm": None,
            "pairs": int(in_slice.sum()),
            "keypoints": int(comparison.total[in_slice].sum()),
            "images": len(np.unique(comparison.images[in_slice])),
            "left_out_a": comparison.left_out[0],
            "left_out_b": comparison.left_out[1],
            "seeds": len(comparison.seeds),
        }
        rows.append(row)
    return rows


def _pck_and_difference(comparison: Comparison, averaging: Averaging) -> tuple[np.ndarray, Estimates]:
    """PCK of both sides, (2, columns) from 0 to 1, and their difference.

    Both are means over seeds. Columns are slices times alphas, the alphas of the first slice first.
    """
    weighting = weigh_pairs(averaging, comparison.total, comparison.categories)
    shares, weights = slice_columns(comparison.right, comparison.slices, weighting)

    def estimate_shares(numerators: np.ndarray) -> Estimates:
        return estimate(numerators, weights, comparison.images, weighting.strata)

    pck = np.stack([estimate_shares(shares[:, side]).value for side in (0, 1)])
    return pck, estimate_shares(shares[:, 1] - shares[:, 0])


def _side_values(comparison: Comparison) -> dict[str, str]:
    """The values that name each side, under its keys: `method_a`, `method_b` ..."""
    values: dict[str, str] = {}
    for letter, side in (("a", comparison.side_a), ("b", comparison.side_b)):
        for key, value in side.keys.items():
            values[f"{key}_{letter}"] = value
    values["cell_a"], values["cell_b"] = comparison.cell_ids
    return values


def _percent(fraction: float) -> float | None:
    """In percent; None for NaN."""
    if np.isnan(fraction):
        return None
    return percent(fraction)


def render_differences(
    comparisons: Sequence[Comparison],
    asked: Averaging | None,
    top: int,
    format: Format,
    *,
    is_file: bool = False,
) -> str:
    """Differences, and the `top` pairs that changed most in each comparison.

    Tables for a terminal or as markdown; an object with both as JSON; the differences alone as CSV.

    Args:
        asked: the average of all differences; None for that of each comparison.
        is_file: see `Table.render`.
    """
    tables = differences(comparisons, asked)
    pairs = [most_changed_pairs(comparison, top) for comparison in comparisons]
    all_rows = list(itertools.chain.from_iterable(tables))
    all_pairs = list(itertools.chain.from_iterable(pairs))
    if format == "json":
        values = {"differences": all_rows, "pairs": all_pairs}
        return json.dumps(values, indent=1, allow_nan=False) + "\n"
    if format == "csv":
        return Table("", (), (), tuple(all_rows), columns=KEYS).render("csv")
    # Comparisons of the same two runs on several datasets share a table.
    groups: dict[tuple[str, str], list[int]] = {}
    for number, comparison in enumerate(comparisons):
        titles = (comparison.side_a.title, comparison.side_b.title)
        groups.setdefault(titles, []).append(number)
    averagings = {asked or comparison.averaging for comparison in comparisons}
    sections = [_slice_sentence(comparisons) + _caption(averagings, all_rows)]
    if format == "text":
        sections = [wrap_text(sections[0].strip(), FILE_WIDTH if is_file else terminal_width()) + "\n"]
    least = least_adjusted(all_rows)
    for (title_a, title_b), numbers in groups.items():
        seeds = {}
        for number in numbers:
            cell = comparisons[number].side_a.cell.record.cell
            seeds[cell.dataset, cell.split] = len(comparisons[number].seeds)
        texts: list[tuple[str, ...]] = []
        for number in numbers:
            texts += [_texts(comparisons[number], row, least) for row in tables[number]]
        # Two spaces before the line break: markdown keeps it.
        caption = f"A: {title_a}  \nB: {title_b}  \n{compared_seeds_sentence(seeds)}"
        if note := _averaging_note(comparisons[numbers[0]], asked, is_only=len(averagings) == 1):
            caption = f"{caption}  \n{note}"
        table = Table(caption, _HEADER, tuple(texts), names=2)
        sections.append(table.render(format, is_file=is_file))
        if not top:
            continue
        for number in numbers:
            table = changed_pairs_table(comparisons[number], pairs[number])
            sections.append(table.render(format, is_file=is_file))
    return "\n".join(sections)


def _averaging_note(comparison: Comparison, asked: Averaging | None, *, is_only: bool) -> str:
    """A sentence on a table's average, where it is not that of all tables or not that of both protocols.

    Args:
        is_only: whether all tables have the same one.
    """
    averaging = averaging_text(asked or comparison.averaging)
    own_b = comparison.side_b.criterion.protocol.averaging
    if asked is None and own_b != comparison.averaging:
        return f"Both: mean {averaging}, as of A's protocol; that of B's is mean {averaging_text(own_b)}."
    return "" if is_only else f"Both: mean {averaging}."


def _slice_sentence(comparisons: Sequence[Comparison]) -> str:
    """Says which points count, where not all do."""
    names = dict.fromkeys(comparison.point_slice for comparison in comparisons)
    return "".join(f"Slice {name}: only {POINT_SLICE_TEXTS[name]} count. " for name in names if name)


def _caption(averagings: Collection[Averaging], rows: Sequence[TidyRow]) -> str:
    """A sentence or two on each column.

    Args:
        averagings: those of the tables.
        rows: those of all tables.
    """
    average = "means as each table says"
    if len(averagings) == 1:
        (averaging,) = averagings
        average = f"mean {averaging_text(averaging)}"
    tested = sum(row["p"] is not None for row in rows)
    by_mcnemar = sum(row["p_mcnemar"] is not None for row in rows)
    tests = f"{counted(tested, 'test')} of a kind"
    if tested != by_mcnemar:
        tests = f"{counted(tested, 'test')} by bootstrap and {counted(by_mcnemar, 'test')} by McNemar"
    without = ""
    if tested < len(rows):
        without = (
            f" Fewer than {LEAST_IMAGES} images, or pairs that all have the same difference, "
            "give none of these."
        )
    return (
        f"PCK in percent, {average}, and B − A in percentage points on the pairs that both have. "
        f"95 %, p: bootstrap over images ({RESAMPLES:,} draws), since pairs share images. "
        f"finds: the least true difference that four of five such comparisons tell from zero.{without} "
        "A : B: keypoints that one alone has right, with McNemar's exact test, "
        "which takes them as independent and is too sure where those of one pair are not. "
        f"p are adjusted (Holm) for {tests}; <: the draws can give none smaller.\n"
    )


def least_adjusted(rows: Sequence[TidyRow]) -> float:
    """The adjusted p-value of rows whose p is the least that the draws can give; 0 where none is."""
    adjusted = []
    for row in rows:
        if row["p"] is not None and float(str(row["p"])) <= LEAST_P:
            adjusted.append(float(str(row["p_holm"])))
    return max(adjusted, default=0.0)


def _texts(comparison: Comparison, row: TidyRow, least: float) -> tuple[str, ...]:
    """A row of the table; reasons against the comparison stand in full in the row of all pairs alone.

    Args:
        least: the least adjusted p-value that the draws can give.
    """
    note = "partial" if comparison.notes else ""
    name = pairs_in(comparison.point_slice, str(row["slice"]))
    if name == "all":
        note = "; ".join(comparison.notes)
    interval = NOTHING
    if row["low"] is not None:
        interval = f"{difference_cell(row['low'])} to {difference_cell(row['high'])}"
    return (
        split_name(str(row["dataset"]), str(row["split"])),
        category_of(name) or name,
        alpha_text(float(str(row["alpha"]))),
        number_cell(row["pck_a"]),
        number_cell(row["pck_b"]),
        difference_cell(row["difference"]),
        interval,
        number_cell(row["detectable"]),
        p_text(row["p_holm"], least),
        f"{row['only_a']} : {row['only_b']}",
        p_text(row["p_mcnemar_holm"]),
        str(row["pairs"]),
        str(row["keypoints"]),
        note,
    )


def p_text(value: object, least: float = 0.0) -> str:
    """Three decimals, `<0.001`, or an en dash.

    Args:
        least: the least value that can come out; it is a bound, `<0.007`, and is rounded up.
    """
    if value is None:
        return NOTHING
    p_value = float(str(value))
    if p_value < 0.001:
        return "<0.001"
    # 1 bounds nothing.
    if p_value <= least < 1:
        # Rounded before: 0.007 times 1,000 is no more than 7.
        return f"<{math.ceil(round(p_value * 1000, 9)) / 1000:.3f}"
    return f"{p_value:.3f}"
