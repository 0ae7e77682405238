"""The pairs that changed most between the two sides of a comparison: rows and their table."""

from __future__ import annotations

from collections.abc import Sequence

from harness.scoring.comparison import Comparison
from harness.scoring.pck import percent
from harness.tables.columns import RANKING_ALPHA
from harness.tables.table import Table, TidyRow
from harness.tables.text import NOTHING, alpha_text, difference_text

# The last column is one of notes, as in every table; pairs have none.
_PAIRS_HEADER = ("pair", "keypoints", "A", "B", "B − A", "")


def most_changed_pairs(comparison: Comparison, top: int) -> list[TidyRow]:
    """The pairs whose PCK differs most, at alpha 0.10 or else at the largest, in percent.

    In order of the difference, largest first, then of its keypoints, then of the pair's id; at most `top`.
    """
    alphas = comparison.alphas
    number = len(alphas) - 1
    if RANKING_ALPHA in alphas:
        number = alphas.index(RANKING_ALPHA)
    right_a, right_b = comparison.right[:, :, :, number].mean(axis=0)
    share = (right_b - right_a) / comparison.total
    pair_ids = comparison.pair_ids

    def order(pair: int) -> tuple[float, float, str]:
        keypoints = abs(right_b[pair] - right_a[pair])
        return -abs(share[pair]), -keypoints, pair_ids[pair]

    cell = comparison.side_a.cell.record.cell
    rows: list[TidyRow] = []
    pairs = sorted(range(len(pair_ids)), key=order)
    for pair in pairs[:top]:
        # In order of size: the pairs behind this one did not change either.
        if not share[pair]:
            break
        total = comparison.total[pair]
        row: TidyRow = {
            "dataset": cell.dataset,
            "split": cell.split,
            "seed": comparison.seed,
            "cell_a": comparison.cell_ids[0],
            "cell_b": comparison.cell_ids[1],
            "protocol_a": comparison.side_a.criterion.protocol.name,
            "protocol_b": comparison.side_b.criterion.protocol.name,
            "alpha": alphas[number],
            "pair": pair_ids[pair],
            "keypoints": int(total),
            "pck_a": percent(right_a[pair] / total),
            "pck_b": percent(right_b[pair] / total),
            "difference": percent(share[pair]),
        }
        rows.append(row)
    return rows


def changed_pairs_table(comparison: Comparison, rows: Sequence[TidyRow]) -> Table:
    """The pairs that changed most, one a row."""
    if not rows:
        return Table(f"No pair of {comparison.where} changed.", _PAIRS_HEADER, (), names=1)
    texts = []
    for row in rows:
        pck_a = number_cell(row["pck_a"])
        pck_b = number_cell(row["pck_b"])
        difference = difference_cell(row["difference"])
        texts.append((str(row["pair"]), str(row["keypoints"]), pck_a, pck_b, difference, ""))
    alpha = alpha_text(float(str(rows[0]["alpha"])))
    caption = f"Pairs of {comparison.where} that changed most, PCK@{alpha}:"
    return Table(caption, _PAIRS_HEADER, tuple(texts), names=1)


def number_cell(value: object) -> str:
    """One decimal, or an en dash."""
    # Less than nothing is what adding up leaves of nothing: Python prints -0.0 with its sign.
    return NOTHING if value is None else f"{round(float(str(value)), 1) + 0.0:.1f}"


def difference_cell(value: object) -> str:
    """`+1.2`, `−2.2`, `0.0`, or an en dash."""
    return NOTHING if value is None else difference_text(float(str(value)))
