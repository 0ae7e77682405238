"""Says where rows would stand in another order under another average of the same predictions."""

from __future__ import annotations

from collections.abc import Sequence

from harness.messages import listed
from harness.specs import AVERAGINGS, Averaging
from harness.tables.columns import Column, ranking_columns
from harness.tables.row import Row
from harness.tables.text import averaging_text
from harness.tables.view import View

_ROUNDING = 1e-8
"""Percent by which two numbers must differ to have an order: records keep ten decimals."""


def order_sentence(groups: Sequence[Sequence[Row]], columns: Sequence[Column], view: View) -> str:
    """A sentence on averages that order measured rows differently, with an example; empty where all agree.

    An average that some row of a group lacks, as in records of before, does not count there.

    Args:
        groups: rows that have places or marks among themselves, best first by the view's average.
        columns: those that the rows are ranked on.
    """
    examples: dict[Averaging, str] = {}
    for averaging in AVERAGINGS:
        # By the view's own, rows are in order.
        if averaging == view.averaging:
            continue
        for rows in groups:
            measured = [row for row in rows if not row.is_reported]
            if example := _example(measured, columns, view.protocol, averaging):
                examples.setdefault(averaging, example)
    if not examples:
        return ""
    first = next(iter(examples.values()))
    if len(examples) == 1:
        return f"Another average orders rows differently: {first}."
    options = [f"`--averaging {averaging}`" for averaging in examples]
    return f"Other averages order rows differently ({listed(options)}): {first}."


def _example(rows: Sequence[Row], columns: Sequence[Column], protocol: str, averaging: Averaging) -> str:
    """`per point, `a` stands above `b``: the first row that one below it surpasses, and the best of those."""
    means = _means(rows, columns, protocol, averaging)
    for number, mean in enumerate(means):
        # Rows of equal numbers keep the order of the table.
        best = max(range(number, len(means)), key=lambda row: (means[row], -row))
        if means[best] > mean + _ROUNDING:
            better, worse = _distinct_names(rows[best], rows[number])
            return f"{averaging_text(averaging)}, `{better}` stands above `{worse}`"
    return ""


def _means(
    rows: Sequence[Row], columns: Sequence[Column], protocol: str, averaging: Averaging
) -> list[float]:
    """The number of each row that it would be ranked by; none where a row lacks it."""
    ranking = ranking_columns(columns)
    means = []
    for row in rows:
        numbers = []
        for column in ranking:
            number = _number(row, column, protocol, averaging)
            if number is None:
                return []
            numbers.append(number)
        means.append(sum(numbers) / max(len(numbers), 1))
    return means


def _number(row: Row, column: Column, protocol: str, averaging: Averaging) -> float | None:
    """A row's PCK in a column by any average, in percent; None where a record of it lacks it."""
    records = row.cells.get((column.dataset, column.split), ())
    wanted = (row.own_localizer, column.slice, averaging, protocol, column.alpha)
    numbers = []
    for record in records:
        for score in record.scores:
            if wanted == (score.localizer, score.slice, score.averaging, score.protocol, score.alpha):
                numbers.append(score.pck)
    # A mean over some of the seeds would be that of another row.
    if not numbers or len(numbers) < len(records):
        return None
    return sum(numbers) / len(numbers)


def _distinct_names(row: Row, other_row: Row) -> tuple[str, str]:
    """The methods of two rows; of one method, with the first property that tells the rows apart."""
    names, other_names = row.key, other_row.key
    for name, other_name in zip(names[1:], other_names[1:], strict=True):
        if names[0] == other_names[0] and name != other_name:
            return f"{names[0]} {name}".strip(), f"{names[0]} {other_name}".strip()
    return names[0], other_names[0]
