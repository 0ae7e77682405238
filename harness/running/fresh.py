"""Cells that are computed anew (`bench run --fresh`)."""

from __future__ import annotations

from dataclasses import replace

from harness.errors import UserError
from harness.records.folders import RECORD, read_record
from harness.running.resolve import ResolvedCell, resolve_cell
from harness.running.resources import Resources


def with_recorded_localizers(resources: Resources, resolved: ResolvedCell) -> ResolvedCell:
    """Adds the localizers that a cell has numbers of already.

    Old and new numbers must not stand in one record, and nothing that was there may be lost: all of them are
    computed anew, from the same features. One that no plugin brings any more is left out.

    Raises:
        UserError: a localizer's files are missing.
    """
    path = resolved.folder / RECORD
    if not path.exists():
        return resolved
    try:
        recorded = read_record(path).localizers
    except UserError:
        # The cell fails with this message when its turn comes.
        return resolved
    asked = resolved.cell.localizers
    known = resources.host.localizers
    more = [name for name in recorded if name in known and name not in asked]
    if not more:
        return resolved
    return resolve_cell(resources, replace(resolved.cell, localizers=(*asked, *more)))
