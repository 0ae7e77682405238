"""Cells that a plugin's code keeps from being resolved: they fail by name, and the others run.

Data or weights that are missing are another matter: the user learns of them before anything runs.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.datasets.chosen_categories import UnknownCategory, whole_split
from harness.errors import SeveralErrors, UserError
from harness.isolation.origin import remember_origin
from harness.plugins.host import Host
from harness.records.schema import CellInfo, Record
from harness.running.recording import describe_error
from harness.running.resolve import ResolvedCell, resolve_cell
from harness.running.resources import Resources
from harness.sweep import Cell, cell_id


def resolve_cells(resources: Resources, cells: Sequence[Cell]) -> tuple[list[ResolvedCell], list[Record]]:
    """Resolves cells.

    Returns:
        Those that can be, and the records of the others, which belong to no folder.

    Raises:
        UserError: data or weights of cells are missing, a dataset has no such category, or parameters do not
            fit the networks; a line for each.
    """
    require_categories(resources, cells)
    try:
        # All sources at once, so that a user learns of every missing one in one message.
        resources.require_weights(cells)
    except UserError:
        raise
    except Exception:  # noqa: BLE001 - a plugin's code; it raises once more for each cell that it belongs to
        pass
    resolved: list[ResolvedCell] = []
    refused: list[Record] = []
    mistakes: dict[str, None] = {}
    for cell in cells:
        try:
            resolved.append(resolve_cell(resources, cell))
        except UserError as error:
            mistakes |= dict.fromkeys(error.lines if isinstance(error, SeveralErrors) else (str(error),))
        except Exception as error:  # noqa: BLE001 - a plugin's code, and its error fails its own cells
            remember_origin(error)
            refused.append(_record_of(resources.host, cell, error))
    if mistakes:
        raise SeveralErrors(mistakes)
    return resolved, refused


def require_categories(resources: Resources, cells: Sequence[Cell]) -> None:
    """Checks the categories that were chosen, before any weights are looked for.

    A dataset that is not there is not told here: it is no more than one of the things that a run may lack.

    Raises:
        UserError: a dataset has no pair of one of them; a line for each dataset.
    """
    unknown: list[str] = []
    for choice, split in dict.fromkeys((cell.dataset, cell.split) for cell in cells):
        if whole_split(split) == split:
            continue
        try:
            resources.split(choice, split)
        except UnknownCategory as error:
            unknown.append(f"--categories: {error}")
        except Exception:  # noqa: BLE001 - raised once more where the cells are resolved, and told there
            continue
    if unknown:
        raise SeveralErrors(unknown)


def _record_of(host: Host, cell: Cell, error: Exception) -> Record:
    """The record of a cell that failed before anybody knew its data and weights."""
    method = host.methods[cell.method]
    info = CellInfo(
        id=cell_id(cell, cell.dataset.name, {}),
        method=cell.method,
        label=cell.label,
        extractor=cell.extractor,
        prompt=cell.prompt,
        dataset=cell.dataset.name,
        split=cell.split,
        seed=cell.seed,
        params=dict(cell.params),
        backbone="none",
        supervision=method.supervision,
        trained_on=method.trained_on,
        tuned_on=method.tuned_on,
        fed=None,
        notes=method.notes,
    )
    return Record(status="failed", cell=info, error=describe_error(error))
