"""Why a row of a table is not ranked, in words."""

from __future__ import annotations

from harness.datasets.chosen_categories import whole_split
from harness.records.coverage import coverage_notes
from harness.records.schema import Record

TOLD = "told which of the target's keypoints are visible"
"""Marks numbers of a localizer that reads annotations."""


def ranking_notes(record: Record, localizer: str, protocol: str) -> list[str]:
    """Reasons why a row of this record is not ranked: its coverage notes, each with the dataset's name.

    So is one whose predictions depend on more than features and points.
    """
    notes = coverage_notes(record, localizer, protocol)
    info = record.localizers.get(localizer)
    if info and info.reads_annotations:
        notes.append(TOLD)
    return [f"{dataset_title(record)}: {note}" for note in notes]


def dataset_title(record: Record) -> str:
    """The dataset as sentences name it: with its split where that is of chosen categories."""
    dataset, split = record.cell.dataset, record.cell.split
    return dataset if whole_split(split) == split else f"{dataset}/{split}"
