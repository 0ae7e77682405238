"""Runs as a command takes them, and which cells of two runs belong together.

A run is a results folder, a cell's id or its beginning, or `DIR:method[/prompt]`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import SeveralErrors, UserError, unknown_name
from harness.records.folders import RECORD, read_record, record_paths
from harness.records.labels import seedless_label
from harness.records.results import nothing_finished
from harness.records.schema import Record, status_text
from harness.records.unfinished import unfinished_cells
from harness.specs import NO_PROMPT


@dataclass(frozen=True)
class StoredCell:
    """A record and its cell's folder."""

    folder: Path
    record: Record

    @property
    def name(self) -> str:
        """Method and prompt as the user may write them: `dift/category`."""
        cell = self.record.cell
        return cell.label if cell.prompt == NO_PROMPT else f"{cell.label}/{cell.prompt}"

    @property
    def own_names(self) -> frozenset[str]:
        """Names of this method as it was run, with and without its seed."""
        labels = (self.record.cell.label, seedless_label(self.record))
        prompt = self.record.cell.prompt
        return frozenset((*labels, *(f"{label}/{prompt}" for label in labels if prompt != NO_PROMPT)))

    @property
    def names(self) -> frozenset[str]:
        """All names that a user may write for this cell."""
        cell = self.record.cell
        names: set[str] = set()
        for method in (cell.label, seedless_label(self.record), cell.method):
            names.update((method, f"{method}/{cell.prompt}"))
        return frozenset(names)

    @property
    def split(self) -> tuple[str, str, int]:
        """Dataset, split and seed: two cells can be compared where these are equal."""
        cell = self.record.cell
        return cell.dataset, cell.split, cell.seed


_Key = Callable[[StoredCell], object]
"""A property by which cells belong together."""


@dataclass(frozen=True)
class Run:
    """Cells that a user named together.

    Attributes:
        text: the user's own words.
        cells: those with predictions, in order of id; at least one.
        left: a line for each cell that cannot be used, with the reason.
        damaged: a line for each record that cannot be read.
    """

    text: str
    cells: tuple[StoredCell, ...]
    left: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()


def read_run(text: str, home: Path) -> Run:
    """Reads the run that a user named.

    Args:
        home: the results folder of cells named by their id alone.

    Raises:
        UserError: if the run does not exist, fits several cells, or has no predictions.
    """
    path = Path(text)
    if path.is_dir():
        if (path / RECORD).is_file():
            return _read_cells(text, [path / RECORD])
        return _read_cells(text, _paths_in(path))
    # A folder's own name may contain a colon: the first one after which a folder ends is the separator.
    for position, letter in enumerate(text):
        if letter == ":" and Path(text[:position]).is_dir():
            folder = Path(text[:position])
            return _read_cells(text, _paths_in(folder), folder, method=text[position + 1 :])
    folder = path.parent if len(path.parts) > 1 else home
    return _read_cells(text, [_path_by_id(text, folder, path.name)])


def _path_by_id(text: str, folder: Path, cell_id: str) -> Path:
    """Path of the record in `folder` whose cell's id is, or begins with, `cell_id`. Raises `UserError`."""
    paths = record_paths(folder) if folder.is_dir() else []
    begun = [cell for cell in unfinished_cells(folder, []) if cell.name.startswith(cell_id)]
    if begun and not any(path.parent.name.startswith(cell_id) for path in paths):
        raise SeveralErrors(cell.describe() for cell in begun)
    if not paths:
        raise UserError(
            f"no run '{text}': there is no results folder of this name, and no finished cell in {folder}"
        )
    path_of = {path.parent.name: path for path in paths}
    # A whole id wins, even where it is the beginning of another.
    if cell_id in path_of:
        return path_of[cell_id]
    names = [name for name in path_of if name.startswith(cell_id)]
    if not names:
        raise unknown_name(f"run in {folder},", cell_id, list(path_of))
    if len(names) > 1:
        raise UserError(
            f"'{text}' is the beginning of {len(names)} cells: {', '.join(names)}; give more of one"
        )
    return path_of[names[0]]


def _paths_in(folder: Path) -> list[Path]:
    """Paths of the records in a results folder. Raises `UserError` where there is none."""
    paths = record_paths(folder)
    if not paths:
        raise SeveralErrors(nothing_finished(folder))
    return paths


def _read_cells(
    text: str,
    paths: Iterable[Path],
    folder: Path = Path(),
    method: str | None = None,
) -> Run:
    """Reads records, and selects those of a method where one is given, as `dift` or `dift/category`."""
    stored: list[StoredCell] = []
    damaged: list[str] = []
    for path in paths:
        try:
            stored.append(StoredCell(path.parent, read_record(path)))
        except UserError as error:
            damaged.append(str(error))
    selected = _select(stored, method)
    if stored and not selected:
        # The user may mean one of the damaged records.
        unknown = unknown_name(f"method in {folder},", method or "", {cell.name for cell in stored})
        raise SeveralErrors([*damaged, str(unknown)])
    cells: list[StoredCell] = []
    left: list[str] = []
    for cell in selected:
        if cell.record.scores:
            cells.append(cell)
        else:
            left.append(f"{cell.record.cell.id}: no predictions to compare ({status_text(cell.record)})")
    if not cells:
        raise SeveralErrors([*damaged, *left])
    return Run(text, tuple(cells), tuple(left), tuple(damaged))


def _select(cells: Sequence[StoredCell], method: str | None) -> Sequence[StoredCell]:
    if method is None:
        return cells
    # `dift` are the cells of this name, of any seed, before those of the method with something changed,
    # `dift[timestep=50]`.
    exact = [cell for cell in cells if method in cell.own_names]
    return exact or [cell for cell in cells if method in cell.names]


@dataclass(frozen=True)
class CellPairs:
    """Cells of two runs that belong together, and a line for each cell that is left out."""

    pairs: tuple[tuple[StoredCell, StoredCell], ...]
    left: tuple[str, ...]


def pair_cells(run_a: Run, run_b: Run) -> CellPairs:
    """Pairs the cells of two runs, on equal dataset, split and seed.

    Where each run has one cell on a split they belong together, whatever their methods. Where there are more,
    the same cell does, then the same method, prompt and weights, then the same method and prompt, if there is
    one of it in either run.

    Raises:
        UserError: if no two cells belong together.
    """
    pairs: list[tuple[StoredCell, StoredCell]] = []
    left: list[str] = []
    splits = {cell.split for cell in (*run_a.cells, *run_b.cells)}
    for split in sorted(splits):
        cells_a = [cell for cell in run_a.cells if cell.split == split]
        cells_b = [cell for cell in run_b.cells if cell.split == split]
        split_pairs = _pair_on_split(cells_a, cells_b)
        pairs += split_pairs
        for cell in _without(cells_a, [pair[0] for pair in split_pairs]):
            left.append(f"{cell.record.cell.id}: only in {run_a.text}, left out")
        for cell in _without(cells_b, [pair[1] for pair in split_pairs]):
            left.append(f"{cell.record.cell.id}: only in {run_b.text}, left out")
    if not pairs:
        raise UserError(
            f"nothing to compare: {run_a.text} has {_cell_list(run_a.cells)}; "
            f"{run_b.text} has {_cell_list(run_b.cells)}; "
            "runs are compared on equal dataset, split and seed, so name one method of each as DIR:method or "
            "DIR:method/prompt, or the cell by its id"
        )
    return CellPairs(tuple(pairs), tuple(left))


def _pair_on_split(
    cells_a: Sequence[StoredCell], cells_b: Sequence[StoredCell]
) -> list[tuple[StoredCell, StoredCell]]:
    if len(cells_a) == len(cells_b) == 1:
        return [(cells_a[0], cells_b[0])]
    pairs: list[tuple[StoredCell, StoredCell]] = []
    # From the closest kinship to the loosest; cells that found a partner leave before the next key is tried.
    keys: tuple[_Key, ...] = (
        lambda cell: cell.record.cell.id,
        lambda cell: (cell.name, cell.record.cell.backbone),
        lambda cell: cell.name,
    )
    for key in keys:
        for cell in cells_a:
            same_a = _with_key(cells_a, key, key(cell))
            same_b = _with_key(cells_b, key, key(cell))
            # With several of a key in either run, any pairing would be a guess.
            if len(same_a) == len(same_b) == 1:
                pairs.append((cell, same_b[0]))
        cells_a = _without(cells_a, [pair[0] for pair in pairs])
        cells_b = _without(cells_b, [pair[1] for pair in pairs])
    return pairs


def _with_key(cells: Sequence[StoredCell], key: _Key, value: object) -> list[StoredCell]:
    return [cell for cell in cells if key(cell) == value]


def _without(cells: Sequence[StoredCell], excluded: Sequence[StoredCell]) -> list[StoredCell]:
    # By identity: comparing two records field by field would walk through all of their scores.
    numbers = {id(cell) for cell in excluded}
    return [cell for cell in cells if id(cell) not in numbers]


def _cell_list(cells: Sequence[StoredCell]) -> str:
    names = Counter((stored.name, stored.split) for stored in cells)
    descriptions = []
    for stored in cells:
        cell = stored.record.cell
        # Of another precision or version, say: only their ids tell them apart.
        details = cell.id if names[stored.name, stored.split] > 1 else f"seed {cell.seed}"
        descriptions.append(f"{stored.name} on {cell.dataset}/{cell.split} ({details})")
    return ", ".join(descriptions)
