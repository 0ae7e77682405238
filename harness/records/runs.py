"""What a command calls a run (a results folder, a cell's id or its beginning, `DIR:method[/prompt]`), and which cells of two match."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import SeveralErrors, UserError, unknown_name
from harness.records.folders import RECORD, read_record, record_paths
from harness.records.schema import Record, status_text
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
    def names(self) -> frozenset[str]:
        """All that a user may write for it."""
        cell = self.record.cell
        plain = {cell.label, cell.method}
        return frozenset(plain | {f"{name}/{cell.prompt}" for name in plain})

    @property
    def split(self) -> tuple[str, str, int]:
        """What two cells must have in common to be compared: dataset, split, seed."""
        cell = self.record.cell
        return cell.dataset, cell.split, cell.seed


@dataclass(frozen=True)
class Run:
    """Cells that a user named together.

    Attributes:
        text: what the user wrote.
        cells: those with predictions, in order of id; never none.
        left: a line for each cell that cannot be used, and why.
        damaged: a line for each record that cannot be read.
    """

    text: str
    cells: tuple[StoredCell, ...]
    left: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()


def read_run(text: str, home: Path) -> Run:
    """The run a user means.

    Args:
        home: the results folder of cells named by their id alone.

    Raises:
        UserError: if there is none, its beginning fits several cells, or none of its cells has predictions.
    """
    path = Path(text)
    if path.is_dir():
        return _run(text, [path / RECORD] if (path / RECORD).is_file() else _some(path))
    for place, letter in enumerate(text):
        if letter == ":" and Path(text[:place]).is_dir():
            folder = Path(text[:place])
            return _run(text, _some(folder), folder, text[place + 1 :])
    folder = path.parent if len(path.parts) > 1 else home
    known = record_paths(folder) if folder.is_dir() else []
    if not known:
        raise UserError(
            f"no run '{text}': there is no results folder of this name, and no finished cell in {folder}"
        )
    found = [one for one in known if one.parent.name == path.name] or [
        one for one in known if one.parent.name.startswith(path.name)
    ]
    if not found:
        raise unknown_name(f"run in {folder},", path.name, [one.parent.name for one in known])
    if len(found) > 1:
        raise UserError(
            f"'{text}' is the beginning of {len(found)} cells: {', '.join(one.parent.name for one in found)}; give more of one"
        )
    return _run(text, found)


def _some(folder: Path) -> list[Path]:
    paths = record_paths(folder)
    if not paths:
        raise UserError(f"no finished cell in {folder}; 'bench run --out {folder}' makes some")
    return paths


def _run(text: str, paths: Iterable[Path], folder: Path = Path(), wanted: str | None = None) -> Run:
    read: list[StoredCell] = []
    damaged: list[str] = []
    for path in paths:
        try:
            read.append(StoredCell(path.parent, read_record(path)))
        except UserError as error:
            damaged.append(str(error))
    # `dift` is the cell called so, before those of the method with something changed, `dift[timestep=50]`.
    exact = [one for one in read if wanted in (one.record.cell.label, one.name)]
    meant = exact or [one for one in read if wanted is None or wanted in one.names]
    cells = tuple(one for one in meant if one.record.scores)
    left = tuple(
        f"{one.record.cell.id}: no predictions to compare ({status_text(one.record)})"
        for one in meant
        if not one.record.scores
    )
    if read and not meant:
        # One of the damaged ones may be meant.
        raise SeveralErrors(
            [*damaged, str(unknown_name(f"method in {folder},", wanted or "", {one.name for one in read}))]
        )
    if not cells:
        raise SeveralErrors([*damaged, *left])
    return Run(text, cells, left, tuple(damaged))


@dataclass(frozen=True)
class CellPairs:
    """Cells of two runs that belong together, and a line for each of the others."""

    pairs: tuple[tuple[StoredCell, StoredCell], ...]
    left: tuple[str, ...]


def pair_cells(first: Run, other: Run) -> CellPairs:
    """Pairs the cells of two runs, on equal dataset, split and seed.

    Where each run has one cell on a split they belong together, whatever their methods. Where there are more, the same cell does, then
    the same method, prompt and weights, then the same method and prompt, if there is one of it in either run.

    Raises:
        UserError: if no two cells belong together.
    """
    found: list[tuple[StoredCell, StoredCell]] = []
    left: list[str] = []
    for split in sorted({one.split for one in (*first.cells, *other.cells)}):
        firsts, others = ([one for one in run.cells if one.split == split] for run in (first, other))
        some, *rest = _matched(firsts, others)
        found += some
        for run, cells in zip((first, other), rest, strict=True):
            left += [f"{one.record.cell.id}: only in {run.text}, left out" for one in cells]
    if not found:
        raise UserError(
            f"nothing to compare: {first.text} has {_listed(first.cells)}; {other.text} has {_listed(other.cells)}; "
            "runs are compared on equal dataset, split and seed, so name one method of each as DIR:method or DIR:method/prompt"
        )
    return CellPairs(tuple(found), tuple(left))


def _matched(
    firsts: Sequence[StoredCell], others: Sequence[StoredCell]
) -> tuple[list[tuple[StoredCell, StoredCell]], list[StoredCell], list[StoredCell]]:
    """Pairs of one split, and what is left of either side."""
    if len(firsts) == len(others) == 1:
        return [(firsts[0], others[0])], [], []
    found: list[tuple[StoredCell, StoredCell]] = []
    keys: tuple[Callable[[StoredCell], object], ...] = (
        lambda one: one.record.cell.id,
        lambda one: (one.name, one.record.cell.backbone),
        lambda one: one.name,
    )
    for key in keys:
        for one in firsts:
            same = [[cell for cell in side if key(cell) == key(one)] for side in (firsts, others)]
            if len(same[0]) == len(same[1]) == 1:
                found.append((one, same[1][0]))
        firsts = [one for one in firsts if all(one is not pair[0] for pair in found)]
        others = [one for one in others if all(one is not pair[1] for pair in found)]
    return found, list(firsts), list(others)


def _listed(cells: Sequence[StoredCell]) -> str:
    return ", ".join(
        f"{one.name} on {one.record.cell.dataset}/{one.record.cell.split} (seed {one.record.cell.seed})"
        for one in cells
    )
