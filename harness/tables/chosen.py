"""The remark on a row of chosen categories, so that its numbers pass for those of no whole split."""

from __future__ import annotations

from harness.datasets.chosen_categories import chosen_categories
from harness.messages import listed
from harness.records.schema import Record
from harness.tables.text import split_name


def chosen_remarks(record: Record) -> tuple[str, ...]:
    """A remark where the numbers are of chosen categories: `ap-10k/test[cow]: only pairs of cow`."""
    names = chosen_categories(record.cell.split)
    where = split_name(record.cell.dataset, record.cell.split)
    return (f"{where}: only pairs of {listed(names)}",) if names else ()
