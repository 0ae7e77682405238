"""What a run would do: its cells, what is there of them, what is missing, and what they may take.

Nothing is run and nothing is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.environment import hardware
from harness.errors import SeveralErrors, UserError
from harness.files import with_home
from harness.messages import one_line
from harness.plugins.host import Host
from harness.records.folders import RECORD, read_record
from harness.records.results import read_results
from harness.records.schema import Record, seconds_per_pair
from harness.running.asked import asked_pairs
from harness.running.cell_run import missing_pairs
from harness.running.engine import distinct_cells, notes_on_data
from harness.running.fresh import with_recorded_localizers
from harness.running.measures import measure_lines
from harness.running.refused import require_categories
from harness.running.resolve import ResolvedCell, resolve_cell
from harness.running.resources import Resources, RunOptions, models_in, weight_names
from harness.running.stored import read_stored
from harness.sweep import Cell
from harness.weights.named import is_repository
from harness.weights.repositories import source_named


@dataclass(frozen=True)
class Missing:
    """Something that a run needs and that is not there.

    Attributes:
        name: its kind and name: `weights stable-diffusion-2-1`.
        download: about how many bytes a fetch brings; None where nobody says it.
        remedy: the command that gets it, or the reason and what to do where none does.
    """

    name: str
    download: int | None
    remedy: str


@dataclass(frozen=True)
class Estimate:
    """What a cell may take, from a finished one of the same method on this machine.

    Attributes:
        seconds: for the pairs that are to be predicted, loading included.
        memory: bytes of the process at most.
        gpu_memory: the same of the GPU; None without one.
        basis: the pairs that it stands on: `40 pairs of shapes`.
    """

    seconds: float
    memory: int | None
    gpu_memory: int | None
    basis: str


@dataclass(frozen=True)
class CellForecast:
    """One cell of a run.

    Attributes:
        title: dataset, split, method and prompt.
        id: None where it cannot be known, since something is missing.
        pairs: those that are asked for; None where the dataset is missing.
        there: those of them with all predictions.
        lacks: names of what is missing; or why the cell is not applicable.
        estimate: None where no earlier cell tells it, or nothing is left to do.
    """

    title: str
    id: str | None = None
    pairs: int | None = None
    there: int = 0
    lacks: tuple[str, ...] = ()
    estimate: Estimate | None = None

    @property
    def to_do(self) -> int:
        """Pairs that are to be predicted."""
        return (self.pairs or 0) - self.there


@dataclass(frozen=True)
class Forecast:
    """A whole run.

    Attributes:
        missing: everything that is missing, each once.
        notes: lines that the run would begin with: on data that are not whole, on measures that they lack.
    """

    cells: Sequence[CellForecast]
    missing: Sequence[Missing]
    notes: Sequence[str]


def forecast(host: Host, cells: Sequence[Cell], options: RunOptions) -> Forecast:
    """Looks at everything that a run needs, and does not stop at the first thing that is missing.

    Raises:
        UserError: no dataset has any of the measures that were asked for, or one has no such category.
    """
    resources = Resources(host, options)
    require_categories(resources, cells)
    missing: dict[str, Missing] = {}
    resolved: dict[Cell, ResolvedCell] = {}
    lacking: dict[Cell, tuple[str, ...]] = {}
    for cell in cells:
        try:
            lacks = [*_missing_weights(resources, cell), *_missing_data(resources, cell)]
            if not lacks:
                resolved[cell] = resolve_cell(resources, cell)
                if options.fresh:
                    resolved[cell] = with_recorded_localizers(resources, resolved[cell])
                continue
        except UserError as error:
            lacks = [Missing(f"method {cell.label}", None, "; ".join(_lines(error)))]
        except Exception as error:  # noqa: BLE001 - a plugin's code, and its error fails its own cells
            lacks = [Missing(f"method {cell.label}", None, one_line(error))]
        lacking[cell] = tuple(each.name for each in lacks)
        missing |= {each.name: each for each in lacks}
    # Of two cells with one id, a run does one.
    kept = {id(each) for each in distinct_cells(list(resolved.values()))}
    records = _records_in(options.out)
    forecasts: list[CellForecast] = []
    for cell in cells:
        if cell in lacking:
            forecasts.append(CellForecast(_title(cell), pairs=_asked(resources, cell), lacks=lacking[cell]))
        elif id(resolved[cell]) in kept:
            forecasts.append(_forecast_cell(resolved[cell], records))
    whole = [each for each in resolved.values() if id(each) in kept]
    notes = [*notes_on_data(whole), *measure_lines(whole)] if whole else []
    return Forecast(forecasts, list(missing.values()), notes)


def _missing_weights(resources: Resources, cell: Cell) -> list[Missing]:
    """The weights of a cell that are not there."""
    missing = []
    models = models_in(resources.host, cell)
    for name in dict.fromkeys(weight_names(resources.host, cell)):
        try:
            resources.weights([name], models)
        except UserError as error:
            if name in dict(models):
                missing.append(_missing_model(resources, dict(models)[name], error))
                continue
            source = resources.host.weight_sources[name]
            own = resources.options.weights.own
            remedy = "; ".join(_lines(error))
            # One's own file that is not there is not fetched.
            if name not in own and (source.mirrors or source.downloads):
                remedy = f"bench weights fetch {name}"
            missing.append(Missing(f"weights {name}", source.download_bytes, remedy))
    return missing


def _missing_model(resources: Resources, text: str, error: UserError) -> Missing:
    """A network that a parameter names, and that is not there or lacks files."""
    name, sources = f"weights {text}", resources.host.weight_sources
    is_own = with_home(text).exists() or text in resources.options.weights.own
    if not is_own and (text in sources or is_repository(text)):
        source = source_named(resources.host, text)
        if source.mirrors or source.downloads:
            return Missing(name, source.download_bytes, f"bench weights fetch {text}")
    remedy = "; ".join(_lines(error)).removeprefix(f"{text}: ").removeprefix(f"{name}: ")
    return Missing(name, None, remedy)


def _missing_data(resources: Resources, cell: Cell) -> list[Missing]:
    """The dataset of a cell, where it is not there."""
    try:
        resources.split(cell.dataset, cell.split)
    except UserError as error:
        spec = resources.host.datasets[cell.dataset.name]
        # The name stands before it already.
        remedy = "; ".join(_lines(error)).removeprefix(f"dataset {spec.name}: ")
        return [Missing(f"dataset {cell.dataset.in_list}", spec.download_bytes, remedy)]
    return []


def _lines(error: UserError) -> Sequence[str]:
    return error.lines if isinstance(error, SeveralErrors) else (str(error),)


def _asked(resources: Resources, cell: Cell) -> int | None:
    """Number of pairs that a cell is asked for; None where its dataset cannot be read."""
    try:
        index = resources.split(cell.dataset, cell.split)
    except Exception:  # noqa: BLE001 - told already, with what is missing
        return None
    return len(asked_pairs(index, resources.options))


def _title(cell: Cell) -> str:
    words = [cell.dataset.name, cell.split, cell.label]
    if cell.prompt != "none":
        words.append(cell.prompt)
    return " ".join(words)


def _records_in(out: Path) -> list[Record]:
    """Records of a results folder; none where there is no such folder, or none in it."""
    try:
        return read_results(out)[0]
    except UserError:
        return []


def _forecast_cell(resolved: ResolvedCell, records: Sequence[Record]) -> CellForecast:
    title = _title(resolved.cell)
    if resolved.cell.not_applicable:
        return CellForecast(title, resolved.id, lacks=(resolved.cell.not_applicable,))
    asked = len(asked_pairs(resolved.index, resolved.options))
    to_do = asked
    if resolved.folder.exists():
        to_do = len(missing_pairs(resolved, read_stored(resolved, _sha256(resolved.folder / RECORD))))
    estimate = _estimate(resolved, to_do, records) if to_do else None
    return CellForecast(title, resolved.id, asked, asked - to_do, estimate=estimate)


def _sha256(path: Path) -> str:
    """Hash of the predictions that a record speaks of; empty where there is none that can be read."""
    try:
        return read_record(path).predictions_sha256
    except UserError:
        return ""


def _estimate(resolved: ResolvedCell, pairs: int, records: Sequence[Record]) -> Estimate | None:
    """What the missing pairs may take, from the most like and longest of earlier cells on this machine."""
    machine = hardware(resolved.options.device)
    alike = [record for record in records if _is_alike(resolved, record, machine)]
    if not alike:
        return None
    record = max(alike, key=lambda each: _weight_of(resolved, each))
    provenance = record.provenance
    each = seconds_per_pair(record)
    assert provenance is not None
    assert each is not None
    loading = provenance.stages["load"].seconds if "load" in provenance.stages else 0.0
    memory = max((stage.peak_memory_bytes for stage in provenance.stages.values()), default=None)
    basis = f"{provenance.computed_pairs:,} pairs of {record.cell.dataset}"
    return Estimate(loading + pairs * each, memory, provenance.gpu_peak_memory_bytes, basis)


def _is_alike(resolved: ResolvedCell, record: Record, machine: Mapping[str, str]) -> bool:
    """Says whether a record is of the same work, of another split perhaps, on this machine."""
    provenance, cell, options = record.provenance, record.cell, resolved.options
    if provenance is None or seconds_per_pair(record) is None:
        return False
    work = (cell.extractor, cell.prompt, cell.params, cell.backbone, cell.fed)
    fed = tuple(resolved.fed) if resolved.fed else None
    same = (
        resolved.cell.extractor,
        resolved.cell.prompt,
        dict(resolved.cell.params),
        resolved.weights.backbone,
        fed,
    )
    settings = (provenance.precision, provenance.compiled, provenance.device, provenance.hardware)
    return work == same and settings == (options.precision, options.compiled, options.device, machine)


def _weight_of(resolved: ResolvedCell, record: Record) -> tuple[bool, int]:
    """Sorting key: the same dataset is the best guide, then the most pairs."""
    assert record.provenance is not None
    return record.cell.dataset == resolved.index.label, record.provenance.computed_pairs
