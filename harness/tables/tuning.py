"""The column "tuned on": data on which a row's free choices were made, a test split told as such."""

from __future__ import annotations

from collections.abc import Sequence

from harness.datasets.chosen_categories import whole_split
from harness.datasets.reversal import REVERSED, unreversed
from harness.records.schema import Record
from harness.specs.tuning import without_repeats
from harness.tables.data_names import plain_dataset
from harness.tables.text import NOTHING, split_name

NONE_CHOSEN = "nothing"
"""Stands where nothing was chosen on data."""

_TEST = "test"


def tuned_on_text(tuned_on: Sequence[str] | None) -> str:
    """`shapes/val, spair-71k test split`; `nothing`; an en dash for records that do not say it."""
    if tuned_on is None:
        return NOTHING
    return ", ".join(map(_entry_text, tuned_on)) or NONE_CHOSEN


def tidy_tuned_on(tuned_on: Sequence[str] | None) -> str | None:
    """`shapes/val+spair-71k/test`, or `nothing`, for machines; None for records that do not say it."""
    if tuned_on is None:
        return None
    return "+".join(tuned_on) or NONE_CHOSEN


def tuning_remarks(record: Record) -> tuple[str, ...]:
    """A remark where parameters were chosen on the very split that the numbers are of, or on its reverse.

    Pairs of chosen categories are pairs of their split.
    """
    dataset, split = plain_dataset(record.cell.dataset), whole_split(record.cell.split)
    pairs = unreversed(split)
    chosen = record.cell.tuned_on or ()
    if not {f"{dataset}/{pairs}", f"{dataset}/{pairs}{REVERSED}"} & set(chosen):
        return ()
    noun = "test split" if pairs == _TEST else "split"
    return (f"{split_name(dataset, split)}: parameters were chosen on this {noun}",)


def merged_tuned_on(first: Sequence[str] | None, second: Sequence[str] | None) -> tuple[str, ...] | None:
    """Data behind a row of two records; what a record of an earlier version lacks is taken from the other."""
    if first is None or second is None:
        known = second if first is None else first
        return None if known is None else tuple(known)
    return without_repeats([*first, *second])


def _entry_text(entry: str) -> str:
    dataset, slash, split = entry.rpartition("/")
    return f"{dataset} {_TEST} split" if slash and split == _TEST else entry
