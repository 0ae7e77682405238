"""The differences between two runs, or between protocols on one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import BenchError, SeveralErrors, UserError
from harness.plugins.host import Host

if TYPE_CHECKING:
    from harness.records.runs import Run, StoredCell
    from harness.scoring.comparison import Comparison, Side
    from harness.scoring.criteria import Criterion
    from harness.scoring.sources import Predicted, Sources
    from harness.specs import Averaging
    from harness.tables.names import Names
    from harness.tables.table import Format


@dataclass(frozen=True, kw_only=True)
class CompareArguments:
    """Arguments and options of `bench compare` after parsing; the help text of each says what it is for."""

    runs: tuple[str, ...]
    protocols: tuple[str, ...] | None
    alphas: tuple[float, ...] | None
    averaging: Averaging | None
    localizers: tuple[str, ...] | None
    top: int
    format_: Format | None
    results: Path
    datasets: tuple[str, ...] | None
    data_root: Path
    out: Path | None = None
    point_slice: str | None = None

    def check(self) -> None:
        """Raises `UserError` for numbers of runs, protocols and localizers that do not go together."""
        count = len(self.runs)
        if count > 2:
            raise UserError(f"compare takes two runs, or one with several --protocols; {count} were given")
        if count == 1 and len(set(self.protocols or ())) < 2:
            raise UserError(
                f"compare {self.runs[0]} with what? Name a second run, or several --protocols such as "
                "sd4match,original,padded"
            )
        localizers = self.localizers or ()
        if len(localizers) > 2:
            raise UserError("--localizers takes one name for both runs, or one for each")
        if count == 1 and len(localizers) == 2:
            raise UserError(
                "--localizers takes one name where there is one run; name the run twice to compare localizers"
            )

    @property
    def localizer_pair(self) -> tuple[str | None, str | None]:
        """The localizer of A and of B; None for the method's own."""
        if not self.localizers:
            return None, None
        return self.localizers[0], self.localizers[-1]


@dataclass(frozen=True)
class Differences:
    """Comparisons of the cells of two runs.

    Attributes:
        is_complete: whether all cells that belong together could be compared.
    """

    comparisons: Sequence[Comparison]
    is_complete: bool


def compare_runs(host: Host, arguments: CompareArguments, warn: Callable[[str], None]) -> Differences:
    """Compares two runs, or protocols on one, from stored predictions.

    Args:
        warn: is called with a line for each cell that is left out.

    Raises:
        UserError: a run is not there, options do not go together, or nothing can be compared.
    """
    from harness.records.runs import read_run
    from harness.scoring.sources import NoSuchSlice, Sources

    arguments.check()
    runs = [read_run(text, arguments.results) for text in arguments.runs]
    cell_pairs, notes = _pair_cells(runs)
    damaged: list[str] = []
    for run in runs:
        damaged += run.damaged
    sources = Sources(host, arguments.data_root, arguments.datasets or (), arguments.point_slice or "")
    comparisons: list[Comparison] = []
    for cell_a, cell_b in cell_pairs:
        try:
            comparisons += _compare_cells(host, sources, cell_a, cell_b, arguments)
        except NoSuchSlice as error:
            # Nothing is missing: other datasets have the slice, and this one has none.
            notes.append(str(error))
        except BenchError as error:
            # The other cells are compared all the same.
            damaged.append(str(error))
    comparisons = _join_seeds(comparisons)
    # Both runs may lie in one folder, and cells of one missing dataset have the same problem.
    damaged = list(dict.fromkeys(damaged))
    if not comparisons:
        raise SeveralErrors(damaged or dict.fromkeys(notes))
    for line in (*notes, *damaged):
        warn(line)
    return Differences(comparisons, not damaged)


def _join_seeds(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons with those of one code that differ in the seed alone as one."""
    from harness.records.labels import seedless_label
    from harness.scoring.comparison import join_seeds
    from harness.tables.names import make_names

    # Within each run: what sets the two apart is no difference between seeds.
    names_a = make_names([cell.record for each in comparisons for cell in each.cells_a])
    names_b = make_names([cell.record for each in comparisons for cell in each.cells_b])

    def side_key(side: Side, names: Names) -> tuple[str, ...]:
        (record,) = names.rename([side.cell.record])
        cell = record.cell
        method = (seedless_label(record), cell.prompt, cell.backbone, cell.trained_on or "")
        localizer = names.localizer(record, side.localizer)
        return (*method, localizer, side.criterion.protocol.name, cell.dataset, cell.split)

    return join_seeds(
        comparisons, lambda each: (side_key(each.side_a, names_a), side_key(each.side_b, names_b))
    )


def _pair_cells(runs: Sequence[Run]) -> tuple[list[tuple[StoredCell, StoredCell]], list[str]]:
    """Pairs of cells to compare, those of one run with themselves; and a line for each cell left out."""
    from harness.records.runs import pair_cells

    notes: list[str] = []
    for run in runs:
        notes += run.left
    notes = list(dict.fromkeys(notes))
    if len(runs) == 1:
        # One cell on both sides: its sides differ in the protocol.
        return [(cell, cell) for cell in runs[0].cells], notes
    matches = pair_cells(*runs)
    return list(matches.pairs), [*notes, *matches.left]


def _compare_cells(
    host: Host, sources: Sources, cell_a: StoredCell, cell_b: StoredCell, arguments: CompareArguments
) -> list[Comparison]:
    """A comparison for each pair of sides. Raises `BenchError` where the cells cannot be compared."""
    from harness.scoring.comparison import compare as compare_sides

    predicted_a, predicted_b = _read_both(sources, cell_a, cell_b)
    sides = _sides(host, cell_a, cell_b, arguments)
    return [compare_sides(side_a, side_b, predicted_a, predicted_b) for side_a, side_b in sides]


def _read_both(sources: Sources, cell_a: StoredCell, cell_b: StoredCell) -> tuple[Predicted, Predicted]:
    """The predictions of both cells. Raises `BenchError` where they are damaged or of different data."""
    records = (cell_a.record, cell_b.record)
    manifests = [record.provenance.manifest for record in records if record.provenance]
    if len(set(manifests)) > 1:
        digests = " and ".join(manifest[:12] for manifest in manifests)
        raise UserError(
            f"{cell_a.record.cell.id} and {cell_b.record.cell.id} were run on different data of one name "
            f"(manifests {digests}); run one of them again"
        )
    predicted_a = sources.read(cell_a.folder, cell_a.record, prefers_named=True)
    if cell_a.folder == cell_b.folder:
        return predicted_a, predicted_a
    return predicted_a, sources.read(cell_b.folder, cell_b.record, prefers_named=True)


def _sides(
    host: Host, cell_a: StoredCell, cell_b: StoredCell, arguments: CompareArguments
) -> list[tuple[Side, Side]]:
    """Pairs of sides to compare: A and B under each protocol; of one run, each protocol with the first."""
    from harness.scoring.comparison import Side
    from harness.tables.names import make_names
    from harness.tables.view import main_protocol

    protocols = arguments.protocols or [main_protocol([cell_a.record, cell_b.record])]
    criteria = _criteria(host, list(dict.fromkeys(protocols)), arguments.alphas, (cell_a, cell_b))
    name_a, name_b = arguments.localizer_pair
    localizer_a = _localizer_of(host, cell_a, name_a)
    localizer_b = _localizer_of(host, cell_b, name_b)
    names = make_names([cell_a.record, cell_b.record])

    def make_side(cell: StoredCell, localizer: str, criterion: Criterion) -> Side:
        (record,) = names.rename([cell.record])
        return Side(
            cell,
            localizer,
            criterion,
            record.cell.label,
            names.localizer(record, localizer),
            tuple(names.reasons_of(record, localizer)),
        )

    if len(arguments.runs) == 1:
        side = make_side(cell_a, localizer_a, criteria[0])
        return [(side, make_side(cell_a, localizer_a, criterion)) for criterion in criteria[1:]]
    sides = []
    for criterion in criteria:
        side_a = make_side(cell_a, localizer_a, criterion)
        side_b = make_side(cell_b, localizer_b, criterion)
        sides.append((side_a, side_b))
    return sides


def _criteria(
    host: Host, names: Sequence[str], alphas: Sequence[float] | None, cells: Sequence[StoredCell]
) -> list[Criterion]:
    """Criteria at the same alphas: those asked for, or those of the records, or the first protocol's own."""
    from harness.scoring.criteria import make_criterion

    stored: set[float] = set()
    for cell in cells:
        for score in cell.record.scores:
            if score.protocol in names:
                stored.add(score.alpha)
    # Both sides at the same alphas: only so do they have a difference at each.
    chosen = alphas or sorted(stored) or make_criterion(host, names[0]).alphas
    return [make_criterion(host, name, chosen) for name in names]


def _localizer_of(host: Host, cell: StoredCell, asked: str | None) -> str:
    """The localizer asked for, or the method's own, or the only one with predictions.

    Raises:
        UserError: the cell has no predictions by it, or nothing decides between several.
    """
    names = sorted(cell.record.localizers)
    # The method may be a plugin's that is not installed here: its predictions can still be compared.
    method = host.methods.get(cell.record.cell.method)
    name: str | None = None
    if asked:
        name = asked
    elif method and method.localizer in names:
        name = method.localizer
    elif len(names) == 1:
        name = names[0]
    if name in names:
        return name
    problem = "predictions by several localizers, none of them the method's own"
    if name:
        problem = f"no predictions by localizer {name}"
    raise UserError(f"{cell.record.cell.id}: {problem}; choose one with --localizers: {', '.join(names)}")
