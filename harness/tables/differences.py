"""Two runs, or one run under several protocols, keypoint by keypoint: differences as rows, and rows as tables.

A difference is the other side's PCK minus the first's, on the pairs that both have, so that a positive one favours the other side.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Literal

import numpy as np

from harness.scoring.comparison import SIDE_KEYS, Comparison
from harness.scoring.paired import RESAMPLES, holm, image_bootstrap, mcnemar
from harness.scoring.pck import percent
from harness.specs import Averaging
from harness.tables.columns import RANKING_ALPHA
from harness.tables.table import Table, TidyRow
from harness.tables.text import alpha_text, split_name

Format = Literal["md", "csv", "json"]

FORMATS: tuple[Format, ...] = ("md", "csv", "json")

KEYS = (
    *("dataset", "split", "seed", "averaging", "slice", "alpha"),
    *(f"{key}_{side}" for side in "ab" for key in SIDE_KEYS),
    *(
        "pck_a",
        "pck_b",
        "difference",
        "low",
        "high",
        "p",
        "p_holm",
        "only_a",
        "only_b",
        "p_mcnemar",
        "p_mcnemar_holm",
    ),
    *("pairs", "keypoints", "images", "left_out_a", "left_out_b"),
)
"""Columns of the CSV and keys of the JSON differences: `pck`, `difference`, `low` and `high` in percent (points); `only` in keypoints;
`left_out` in pairs that this side alone has."""


def differences(comparisons: Sequence[Comparison], averaging: Averaging) -> list[list[TidyRow]]:
    """A row for each alpha and slice of each comparison; p-values of either kind are adjusted over all of them together."""
    tables = [_rows(one, averaging) for one in comparisons]
    for key in ("p", "p_mcnemar"):
        tested = [row for rows in tables for row in rows if row[key] is not None]
        for row, adjusted in zip(tested, holm([float(str(row[key])) for row in tested]), strict=True):
            row[f"{key}_holm"] = adjusted
    return tables


def _rows(one: Comparison, averaging: Averaging) -> list[TidyRow]:
    by_point = averaging == "point"
    total = one.total.astype(np.float64)
    share = one.right if by_point else one.right / total[:, None]
    inside = np.stack(list(one.slices.values()), axis=1).astype(np.float64)
    weight = inside * total[:, None] if by_point else inside
    # (2, P, slices, alphas) -> (2, P, columns)
    parts = (share[:, :, None, :] * inside[None, :, :, None]).reshape(2, len(total), -1)
    weights = np.repeat(weight, len(one.alphas), axis=1)
    pck = parts.sum(axis=1) / weights.sum(axis=0)
    found = image_bootstrap(parts[1] - parts[0], weights, one.images)
    keys = [(name, number) for name in one.slices for number in range(len(one.alphas))]
    cell = one.first.cell.record.cell
    sides = {
        f"{key}_{name}": value
        for name, side in zip("ab", (one.first, one.other), strict=True)
        for key, value in side.keys.items()
    }
    rows: list[TidyRow] = []
    for column, (name, number) in enumerate(keys):
        chosen = one.slices[name]
        only_a, only_b = (int(count) for count in one.only[:, chosen, number].sum(axis=1))
        values: TidyRow = {
            "dataset": cell.dataset,
            "split": cell.split,
            "seed": cell.seed,
            "averaging": averaging,
            "slice": name,
            "alpha": one.alphas[number],
            **sides,
            "pck_a": _percent(pck[0, column]),
            "pck_b": _percent(pck[1, column]),
            "difference": _percent(found.value[column]),
            # A few images' worth of Student's tails can reach beyond what a difference can be.
            "low": _percent(np.clip(found.low[column], -1, 1)),
            "high": _percent(np.clip(found.high[column], -1, 1)),
            "p": None if np.isnan(found.p[column]) else float(found.p[column]),
            "p_holm": None,
            "only_a": only_a,
            "only_b": only_b,
            "p_mcnemar": mcnemar(only_a, only_b),
            "p_mcnemar_holm": None,
            "pairs": int(chosen.sum()),
            "keypoints": int(one.total[chosen].sum()),
            "images": len(np.unique(one.images[chosen])),
            "left_out_a": one.left_out[0],
            "left_out_b": one.left_out[1],
        }
        rows.append(values)
    return rows


def most_changed_pairs(one: Comparison, top: int) -> list[TidyRow]:
    """The pairs whose PCK differs most, at alpha 0.10 or else at the largest: in percent, most first, more keypoints first, then by id."""
    number = one.alphas.index(RANKING_ALPHA) if RANKING_ALPHA in one.alphas else len(one.alphas) - 1
    first, other = one.right[:, :, number]
    share = (other - first) / one.total
    order = sorted(
        range(len(one.pair_ids)),
        key=lambda row: (-abs(share[row]), -abs(other[row] - first[row]), one.pair_ids[row]),
    )
    cell = one.first.cell.record.cell
    return [
        {
            "dataset": cell.dataset,
            "split": cell.split,
            "seed": cell.seed,
            "cell_a": cell.id,
            "cell_b": one.other.cell.record.cell.id,
            "protocol_a": one.first.criterion.protocol.name,
            "protocol_b": one.other.criterion.protocol.name,
            "alpha": one.alphas[number],
            "pair": one.pair_ids[row],
            "keypoints": int(one.total[row]),
            "pck_a": _percent(first[row] / one.total[row]),
            "pck_b": _percent(other[row] / one.total[row]),
            "difference": _percent(share[row]),
        }
        for row in order[:top]
        if share[row]
    ]


def _percent(fraction: float) -> float | None:
    """In percent; None for NaN."""
    return None if np.isnan(fraction) else percent(fraction)


def render_differences(
    comparisons: Sequence[Comparison], averaging: Averaging, top: int, format: Format
) -> str:
    """Differences and the pairs that changed most: tables as markdown, an object of both as JSON; the differences alone as CSV."""
    tables = differences(comparisons, averaging)
    pairs = [most_changed_pairs(one, top) for one in comparisons]
    together = [row for rows in tables for row in rows]
    if format == "json":
        return (
            json.dumps(
                {"differences": together, "pairs": [row for rows in pairs for row in rows]},
                indent=1,
                allow_nan=False,
            )
            + "\n"
        )
    if format == "csv":
        return Table("", (), (), tuple(together), columns=KEYS).render("csv")
    groups: dict[tuple[str, str], list[int]] = {}
    for number, one in enumerate(comparisons):
        groups.setdefault((one.first.title, one.other.title), []).append(number)
    parts = [_explained(averaging, len(together))]
    for (first, other), numbers in groups.items():
        lines = tuple(_line(comparisons[number], row) for number in numbers for row in tables[number])
        parts.append(Table(f"A: {first}  \nB: {other}", _HEADER, lines, names=2).render("md"))
        parts += [_pairs_table(comparisons[number], pairs[number]).render("md") for number in numbers if top]
    return "\n".join(parts)


_HEADER = (
    "dataset",
    "category",
    "alpha",
    "A",
    "B",
    "B − A",
    "95 %",
    "p",
    "A : B",
    "p McNemar",
    "pairs",
    "keypoints",
    "note",
)


def _explained(averaging: Averaging, tests: int) -> str:
    return (
        f"PCK in percent, mean per {averaging}, and B − A in percentage points on the pairs that both have. 95 %, p: bootstrap over "
        f"images ({RESAMPLES:,} draws), since pairs share images. A : B: keypoints that one alone has right, with McNemar's exact test, "
        f"which takes them as independent and is too sure where those of one pair are not. p are adjusted (Holm) for {tests} "
        f"{'test' if tests == 1 else 'tests'} of a kind.\n"
    )


def _line(one: Comparison, row: TidyRow) -> tuple[str, ...]:
    whole = row["slice"] == "all"
    note = "; ".join(one.notes) if whole else "partial" if one.notes else ""
    interval = f"{_number(row['low'], '+')} to {_number(row['high'], '+')}" if row["low"] is not None else "–"
    return (
        split_name(str(row["dataset"]), str(row["split"])),
        str(row["slice"]).removeprefix("category="),
        alpha_text(float(str(row["alpha"]))),
        _number(row["pck_a"]),
        _number(row["pck_b"]),
        _number(row["difference"], "+"),
        interval,
        _p_text(row["p_holm"]),
        f"{row['only_a']} : {row['only_b']}",
        _p_text(row["p_mcnemar_holm"]),
        str(row["pairs"]),
        str(row["keypoints"]),
        note,
    )


def _pairs_table(one: Comparison, rows: Sequence[TidyRow]) -> Table:
    if not rows:
        return Table(
            f"No pair of {one.where} changed.", ("pair", "keypoints", "A", "B", "B − A", ""), (), names=1
        )
    lines = tuple(
        (
            str(row["pair"]),
            str(row["keypoints"]),
            _number(row["pck_a"]),
            _number(row["pck_b"]),
            _number(row["difference"], "+"),
            "",
        )
        for row in rows
    )
    caption = f"Pairs of {one.where} that changed most, PCK@{alpha_text(float(str(rows[0]['alpha'])))}:"
    return Table(caption, ("pair", "keypoints", "A", "B", "B − A", ""), lines, names=1)


def _number(value: object, sign: Literal["", "+"] = "") -> str:
    """One decimal; what rounds to zero has no sign."""
    if value is None:
        return "–"
    rounded = round(float(str(value)), 1)
    return f"{rounded:{sign}.1f}" if rounded else "0.0"


def _p_text(value: object) -> str:
    return "–" if value is None else "<0.001" if float(str(value)) < 0.001 else f"{value:.3f}"
