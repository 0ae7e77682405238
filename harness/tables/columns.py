"""Columns of numbers: dataset, split, threshold and slice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from harness.records.schema import Record
from harness.tables.text import alpha_text, split_name

Split = tuple[str, str]
"""(dataset, split)"""

RANKING_ALPHA = 0.10
"""The field's headline threshold."""


class Column(NamedTuple):
    """The pairs and the threshold that a column's numbers are of."""

    dataset: str
    split: str
    alpha: float
    slice: str = "all"

    @property
    def title(self) -> str:
        """`birds @0.10`"""
        return f"{split_name(self.dataset, self.split)} @{alpha_text(self.alpha)}"


def split_of(record: Record) -> Split:
    """The dataset and split of a record."""
    return record.cell.dataset, record.cell.split


def column_of(record: Record, alpha: float, slice: str = "all") -> Column:
    """The column that a record's numbers at a threshold stand in."""
    return Column(record.cell.dataset, record.cell.split, alpha, slice)


def ranking_columns(columns: Sequence[Column]) -> Sequence[Column]:
    """The columns that rows are ranked by: those at alpha 0.10, or all where there are none."""
    return [column for column in columns if column.alpha == RANKING_ALPHA] or columns
