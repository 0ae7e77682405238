"""Two runs, or one run under several protocols, keypoint by keypoint: differences as rows, and rows as tables.

A difference is the other side's PCK minus the first's, on the pairs that both have, so that a positive one favours the other side.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from harness.datasets.index import SplitIndex
from harness.errors import UserError
from harness.hits import hits, pair_numbers, pictures, stored_points
from harness.lines import RANKING_ALPHA, Averaging, alpha_text, notes_of, split_name
from harness.measures import Measure
from harness.paired import RESAMPLES, holm, image_bootstrap, mcnemar
from harness.pck import per_pair
from harness.runs import StoredCell
from harness.scoring import slices_of
from harness.table import Row, Table

Format = Literal["md", "csv", "json"]
FORMATS: tuple[Format, ...] = ("md", "csv", "json")

_SIDE_KEYS = ("method", "prompt", "localizer", "backbone", "protocol", "cell", "status")
KEYS = (
    *("dataset", "split", "seed", "averaging", "slice", "alpha"),
    *(f"{key}_{side}" for side in "ab" for key in _SIDE_KEYS),
    *("pck_a", "pck_b", "difference", "low", "high", "p", "p_holm", "only_a", "only_b", "p_mcnemar", "p_mcnemar_holm"),
    *("pairs", "keypoints", "images", "left_out_a", "left_out_b"),
)
"""Columns of the CSV and keys of the JSON differences: `pck`, `difference`, `low` and `high` in percent (points); `only` in keypoints;
`left_out` in pairs that this side alone has."""


@dataclass(frozen=True)
class Side:
    """One cell's predictions by one localizer, and what counts as correct."""

    cell: StoredCell
    localizer: str
    measure: Measure

    @property
    def title(self) -> str:
        """What tells sides apart, for people."""
        cell = self.cell.record.cell
        prompt = "" if cell.prompt == "none" else f"prompt {cell.prompt}, "
        return f"{cell.label} ({prompt}{self.localizer}, backbone {cell.backbone}, protocol {self.measure.protocol.name})"

    @property
    def keys(self) -> Mapping[str, str]:
        """Its part of a row."""
        cell = self.cell.record.cell
        status = self.cell.record.coverage(self.localizer)
        values = (cell.label, cell.prompt, self.localizer, cell.backbone, self.measure.protocol.name, cell.id, status)
        return dict(zip(_SIDE_KEYS, values, strict=True))


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two sides on the pairs that both have.

    Attributes:
        first, other: measures of equal alphas.
        pair_ids: P pairs, in the dataset's order.
        left_out: pairs that the first, and the other, has alone.
        right: (2, P, K) correct keypoints at each alpha.
        only: (2, P, K) keypoints that this side alone has right.
        total: (P) keypoints.
        images: (P, 2) numbers of source and target picture; a picture and its mirror image are one.
        slices: name -> (P) bool, `all` first.
    """

    first: Side
    other: Side
    pair_ids: tuple[str, ...]
    left_out: tuple[int, int]
    right: np.ndarray
    only: np.ndarray
    total: np.ndarray
    images: np.ndarray
    slices: Mapping[str, np.ndarray]

    @property
    def alphas(self) -> tuple[float, ...]:
        return self.first.measure.alphas

    @property
    def where(self) -> str:
        """Dataset and split: `shapes/test`."""
        cell = self.first.cell.record.cell
        return f"{cell.dataset}/{cell.split}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What keeps this from being a comparison on the whole split."""
        notes = []
        for name, side, count in zip("AB", (self.first, self.other), self.left_out, strict=True):
            notes += [f"{name}: {note.partition(': ')[2]}" for note in notes_of(side.cell.record, side.localizer)]
            if count:
                notes.append(f"{count} {'pair' if count == 1 else 'pairs'} of {name} alone left out")
        return tuple(notes)


def compare(first: Side, other: Side, index: SplitIndex) -> Comparison:
    """Counts what either side has right.

    Raises:
        UserError: if predictions are damaged, or the sides have no pair in common.
        DataError: if a protocol's threshold does not exist for the dataset.
    """
    points = [stored_points(side.cell.place, side.localizer) for side in (first, other)]
    pair_ids = tuple(pair_id for pair_id in index.pair_ids if all(pair_id in one for one in points))
    if not pair_ids:
        names = " and ".join(side.cell.record.cell.id for side in (first, other))
        raise UserError(f"{names}: no pair was predicted in both; run the cells again without --limit")
    right = [
        hits(side.cell.place, side.cell.record, side.measure, index, one, pair_ids)
        for side, one in zip((first, other), points, strict=True)
    ]
    pair_of = pair_numbers(index, pair_ids)
    (first_right, total), (other_right, _) = (per_pair(one, pair_of, len(pair_ids)) for one in right)
    only = [per_pair(one, pair_of, len(pair_ids))[0] for one in (right[0] & ~right[1], right[1] & ~right[0])]
    return Comparison(
        first=first,
        other=other,
        pair_ids=pair_ids,
        left_out=(len(points[0]) - len(pair_ids), len(points[1]) - len(pair_ids)),
        right=np.stack([first_right, other_right]),
        only=np.stack(only),
        total=total,
        images=pictures(index, pair_ids),
        slices=_slices(index, pair_ids),
    )


def _slices(index: SplitIndex, pair_ids: Sequence[str]) -> dict[str, np.ndarray]:
    """All pairs, and each category where there are several."""
    found = {name: inside for name, inside in slices_of(index, pair_ids).items() if name == "all" or name.startswith("category=")}
    return found if len(found) > 2 else {"all": found["all"]}


# -------------------------------------------------------------------------------------------------------------------- rows


def differences(comparisons: Sequence[Comparison], averaging: Averaging) -> list[list[Row]]:
    """A row for each alpha and slice of each comparison; p-values of either kind are adjusted over all of them together."""
    tables = [_rows(one, averaging) for one in comparisons]
    for key in ("p", "p_mcnemar"):
        tested = [row for rows in tables for row in rows if row[key] is not None]
        for row, adjusted in zip(tested, holm([float(str(row[key])) for row in tested]), strict=True):
            row[f"{key}_holm"] = adjusted
    return tables


def _rows(one: Comparison, averaging: Averaging) -> list[Row]:
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
    sides = {f"{key}_{name}": value for name, side in zip("ab", (one.first, one.other), strict=True) for key, value in side.keys.items()}
    rows: list[Row] = []
    for column, (name, number) in enumerate(keys):
        chosen = one.slices[name]
        only_a, only_b = (int(count) for count in one.only[:, chosen, number].sum(axis=1))
        values: Row = {
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


def changed_most(one: Comparison, top: int) -> list[Row]:
    """The pairs whose PCK differs most, at alpha 0.10 or else at the largest: in percent, most first, more keypoints first, then by id."""
    number = one.alphas.index(RANKING_ALPHA) if RANKING_ALPHA in one.alphas else len(one.alphas) - 1
    first, other = one.right[:, :, number]
    share = (other - first) / one.total
    order = sorted(range(len(one.pair_ids)), key=lambda row: (-abs(share[row]), -abs(other[row] - first[row]), one.pair_ids[row]))
    cell = one.first.cell.record.cell
    return [
        {
            "dataset": cell.dataset,
            "split": cell.split,
            "seed": cell.seed,
            "cell_a": cell.id,
            "cell_b": one.other.cell.record.cell.id,
            "protocol_a": one.first.measure.protocol.name,
            "protocol_b": one.other.measure.protocol.name,
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
    """Ten digits, as in records; None for NaN; no negative zero."""
    return None if np.isnan(fraction) else round(100 * float(fraction), 10) + 0.0


# ------------------------------------------------------------------------------------------------------------------ tables


def render(comparisons: Sequence[Comparison], averaging: Averaging, top: int, format: Format) -> str:
    """Differences and the pairs that changed most: tables as markdown, an object of both as JSON; the differences alone as CSV."""
    tables = differences(comparisons, averaging)
    pairs = [changed_most(one, top) for one in comparisons]
    together = [row for rows in tables for row in rows]
    if format == "json":
        return json.dumps({"differences": together, "pairs": [row for rows in pairs for row in rows]}, indent=1, allow_nan=False) + "\n"
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


_HEADER = ("dataset", "category", "alpha", "A", "B", "B − A", "95 %", "p", "A : B", "p McNemar", "pairs", "keypoints", "note")


def _explained(averaging: Averaging, tests: int) -> str:
    return (
        f"PCK in percent, mean per {averaging}, and B − A in percentage points on the pairs that both have. 95 %, p: bootstrap over "
        f"images ({RESAMPLES:,} draws), since pairs share images. A : B: keypoints that one alone has right, with McNemar's exact test, "
        f"which takes them as independent and is too sure where those of one pair are not. p are adjusted (Holm) for {tests} "
        f"{'test' if tests == 1 else 'tests'} of a kind.\n"
    )


def _line(one: Comparison, row: Row) -> tuple[str, ...]:
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


def _pairs_table(one: Comparison, rows: Sequence[Row]) -> Table:
    if not rows:
        return Table(f"No pair of {one.where} changed.", ("pair", "keypoints", "A", "B", "B − A", ""), (), names=1)
    lines = tuple(
        (str(row["pair"]), str(row["keypoints"]), _number(row["pck_a"]), _number(row["pck_b"]), _number(row["difference"], "+"), "")
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
