"""A results folder as a whole: its records, and what is said where it has none."""

from __future__ import annotations

import logging
from pathlib import Path

from harness.errors import SeveralErrors, UserError
from harness.messages import counted
from harness.records.folders import RECORD, read_record, record_paths
from harness.records.schema import Record
from harness.records.unfinished import unfinished_cells

_LOG = logging.getLogger(__name__)


def read_results(folder: Path) -> tuple[list[Record], list[str]]:
    """Reads the records of a results folder, and returns a line for each that is damaged.

    Raises:
        UserError: the results folder does not exist, or has no record that can be read; damaged ones and
            cells that are not finished are named as well.
    """
    records: list[Record] = []
    damaged: list[str] = []
    for path in record_paths(folder):
        try:
            records.append(read_record(path))
        except UserError as error:
            damaged.append(str(error))
    _LOG.info("results: %s in %s", counted(len(records), "cell"), folder)
    if not records:
        raise SeveralErrors([*damaged, *nothing_finished(folder)])
    return records, damaged


def nothing_finished(folder: Path) -> list[str]:
    """Lines on a results folder without a readable record: the cells that were begun, and what to do."""
    if (folder / RECORD).exists():
        return [f"{folder} is the folder of one cell; name the results folder that it is in"]
    # Of a cell's own folder in the place of the results folder, that cell.
    begun = begun_cells(folder) or begun_cells(folder.resolve().parent, folder.resolve().name)
    remedy = f"'bench run --out {folder}' makes some"
    if begun:
        remedy = f"repeat the 'bench run --out {folder}' that began"
    return [*begun, f"no finished cell in {folder}; {remedy}"]


def begun_cells(folder: Path, name: str = "") -> list[str]:
    """A line for each cell of a results folder that was begun and is not finished.

    Args:
        name: of one cell; of all of them where it is empty.
    """
    return [cell.describe() for cell in unfinished_cells(folder, []) if name in ("", cell.name)]
