"""`bench run`: a sweep, from names to a table."""

from __future__ import annotations

import sys
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.options import CommaList, NumberList, data_root, gigabytes, number_range, positive, weights
from harness.errors import UserError
from harness.measures import measure
from harness.plan import Cell, DatasetChoice, Sweep, plan
from harness.plugins import Host

if TYPE_CHECKING:
    from harness.records import Record

SHOWN_FAILURES = 5
"""Different failures of one cell that are told; the record has all."""


def _configure(ctx: click.Context, param: click.Parameter, path: Path | None) -> None:
    """Values of a TOML file become defaults, which flags override."""
    if path is None:
        return
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"--config {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"--config {path}: not valid TOML: {error}") from error
    options = {name: option for option in ctx.command.params for name in _keys(option) if option.name != "config"}
    found: dict[str, Any] = {}
    for key, value in content.items():
        option = options.get(key.replace("-", "_"))
        if option is None:
            raise UserError(f"--config {path}: unknown key '{key}'; known: {', '.join(sorted(options))}")
        try:
            found[str(option.name)] = _given(option, value)
        except ValueError as error:
            raise UserError(f"--config {path}: {key} = {value!r}: {error}") from error
    ctx.default_map = found


def _keys(option: click.Parameter) -> list[str]:
    """What a file may call an option: as on the command line, with dashes or without."""
    return [name.lstrip("-").replace("-", "_") for name in option.opts]


def _given(option: click.Parameter, value: Any) -> Any:
    """A value of a file as click takes it from a command line. Raises ValueError for one of the wrong kind."""
    if getattr(option, "is_flag", False):
        if not isinstance(value, bool):
            raise ValueError("expected true or false")
        return value
    several = getattr(option, "multiple", False) or isinstance(option.type, CommaList)
    if isinstance(value, list) and not several:
        raise ValueError("expected one value, not a list")
    if any(not isinstance(one, str | int | float) or isinstance(one, bool) for one in (value if isinstance(value, list) else [value])):
        raise ValueError("expected a text or a number" + (", or a list of them" if several else ""))
    # A repeatable option takes one value without a list, too; click would take a string for a list of letters.
    texts = [str(one) for one in value] if isinstance(value, list) else [str(value)]
    return texts if several else texts[0]


def _cache_folder(ctx: click.Context, param: click.Parameter, value: str | None) -> Path | None:
    if value is not None and not value.strip():
        raise UserError("--cache: is empty; give a folder")
    return Path(value).expanduser() if value else None


@click.command("run")
@click.option("--methods", type=CommaList(), required=True, metavar="A,B", help="Methods ('bench list methods').")
@click.option("--datasets", type=CommaList(), default="shapes", show_default=True, metavar="A,B=PATH", help="Datasets, or NAME=PATH.")
@click.option("--split", help="Split of every dataset; each one's default otherwise.")
@click.option("--prompts", type=CommaList(), metavar="A,B", help="Prompt types; each method's own otherwise.")
@click.option("--localizers", type=CommaList(), metavar="A,B", help="Localizers; each method's own otherwise.")
@click.option("--protocols", type=CommaList(), default="sd4match", show_default=True, metavar="A,B", help="Protocols to score under.")
@click.option("--alphas", type=CommaList(number_range), metavar="A,B", help="Thresholds; each protocol's own otherwise.")
@click.option(
    "--timestep", type=NumberList(), metavar="T,T|T..T", help="Timesteps to sweep: 50,261 or 0..500:100; 0..500 is in steps of 50."
)
@click.option("--train-timestep", is_flag=True, help="Learned prompts at the timestep that they were tuned at.")
@click.option("--ensemble", type=CommaList(positive), metavar="N,N", help="Ensemble sizes to sweep.")
@click.option(
    "--prompt-file",
    "prompt_files",
    multiple=True,
    metavar="METHOD=PATH",
    help="A learned prompt of your own, one cell each: what 'bench train' wrote, or a file of SD4Match's release. Repeatable.",
)
@click.option("--trained-on", metavar="DATASET", help="Of the learned prompts there are, those tuned on this dataset.")
@click.option("--seed", type=CommaList(int), default="0", show_default=True, metavar="S,S", help="Seeds to sweep.")
@click.option("--limit", type=click.IntRange(min=1), help="Only the first so many pairs of each split.")
@weights
@click.option("--device", default="auto", show_default=True, help="Torch device; auto takes a GPU if there is one.")
@click.option("--precision", type=click.Choice(["fp32", "bf16", "fp16"]), default="fp32", show_default=True)
@click.option("--compile", is_flag=True, help="Compile the networks (torch.compile): minutes once, then faster.")
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    help="Images, or pairs, computed at once, or as many as memory is enough for.",
)
@click.option(
    "--cache-gb",
    "cache_bytes",
    type=gigabytes,
    metavar="GB",
    default="4",
    show_default=True,
    help="Memory in GB for what is kept of pictures; with less of it, more is computed again.",
)
@click.option("--cache", callback=_cache_folder, metavar="DIR", help="Folder that keeps latents and DINO's features for later runs.")
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    metavar="N",
    help="Processes that decode pictures ahead: up to 4 beside a GPU, none on a CPU, unless this says otherwise.",
)
@click.option("--out", type=click.Path(path_type=Path), default=Path("results"), show_default=True, help="Results folder.")
@data_root
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    callback=_configure,
    is_eager=True,
    expose_value=False,
    help="TOML file with any of these options by name; flags win.",
)
@click.pass_obj
def run(host: Host, /, **options: Any) -> int:
    """Run methods on datasets and print the table.

    A finished cell is not run again, an interrupted one goes on where it stopped.
    """
    sweep = Sweep(
        methods=options["methods"],
        datasets=tuple(map(DatasetChoice.parse, options["datasets"])),
        prompts=options["prompts"],
        localizers=options["localizers"],
        split=options["split"],
        seeds=options["seed"],
        overrides={name: options[name] for name in ("timestep", "ensemble") if options[name]},
        prompt_files=_prompt_files(options["prompt_files"]),
        trained_on=options["trained_on"],
        train_timestep=options["train_timestep"],
    )
    cells = plan(sweep, host)
    records = _run_cells(host, cells, options)
    from harness.table_prompts import prompt_types
    from harness.table_timesteps import timesteps
    from harness.tables import leaderboard

    shown = {name for cell in cells for name in cell.localizers}
    protocols = list(dict.fromkeys(options["protocols"]))
    scored = _scored(records, protocols)
    tables = [leaderboard(records, protocol=name, alphas=options["alphas"], localizers=sorted(shown)) for name in scored]
    if len(set(options["prompts"] or ())) > 1:
        tables += [prompt_types(records, protocol=name, localizers=sorted(shown), prompts=options["prompts"]) for name in scored]
    if len(set(options["timestep"] or ())) > 1:
        tables += [timesteps(records, protocol=name, localizers=sorted(shown)) for name in scored]
    click.echo("\n".join(table.render("md") for table in tables), nl=False)
    return int(any(record.status in ("failed", "partial") for record in records))


def _prompt_files(texts: Sequence[str]) -> dict[str, tuple[Path, ...]]:
    """The values of --prompt-file. Raises `UserError` for one that is not METHOD=PATH."""
    found: dict[str, tuple[Path, ...]] = {}
    for text in texts:
        name, _, path = text.partition("=")
        if not (name and path):
            raise UserError(f"--prompt-file {text}: expected METHOD=PATH")
        found[name] = (*found.get(name, ()), Path(path).expanduser())
    return found


def _scored(records: Sequence[Record], protocols: Sequence[str]) -> list[str | None]:
    """The protocols asked for that some record has; one table without numbers where none does."""
    found = {score.protocol for record in records for score in record.scores}
    return [name for name in protocols if name in found] or [None]


def _run_cells(host: Host, cells: Sequence[Cell], options: Mapping[str, Any]) -> list[Record]:
    from harness.ahead import default_workers
    from harness.devices import device_name, require_compiler
    from harness.prepare import Bench, RunOptions
    from harness.records import make_results_folder
    from harness.runner import run_cell
    from harness.store import make_cache_folder
    from harness.weights.choice import WeightChoice

    measures = tuple(measure(host, name, options["alphas"]) for name in dict.fromkeys(options["protocols"]))
    device = device_name(options["device"])
    if options["compile"]:
        require_compiler(device)
    bench = Bench(
        host,
        RunOptions(
            data_root=options["data_root"],
            out=options["out"],
            measures=measures,
            device=device,
            precision=options["precision"],
            compiled=options["compile"],
            batch_size=options["batch_size"],
            limit=options["limit"],
            weights=WeightChoice.parse(host, options["weights"], options["weights_root"]),
            cache_bytes=options["cache_bytes"],
            cache=options["cache"],
            workers=default_workers(device) if options["workers"] is None else options["workers"],
        ),
    )
    # All of them before the first runs: what is missing is told at once, not after an hour.
    bench.require_weights(cells)
    prepared = [bench.prepare(cell) for cell in cells]
    make_results_folder(options["out"])
    if options["cache"]:
        make_cache_folder(options["cache"])
    records: list[Record] = []
    trouble = ""
    for number, one in enumerate(prepared, start=1):
        _hook(host, "bench_cell_started", cell=one.cell)
        with _Bar(f"{number}/{len(prepared)} {one.cell.label}") as bar:
            record = run_cell(one, bar.show)
        _tell(record)
        if one.cache and one.cache.trouble and not trouble:
            trouble = one.cache.trouble
            click.echo(f"bench: cache folder {options['cache']}: {trouble}; the run goes on without writing all of it", err=True)
        _hook(host, "bench_cell_finished", cell=one.cell, record=record)
        records.append(record)
    _hook(host, "bench_run_finished", records=records)
    return records


def _hook(host: Host, name: str, **values: object) -> None:
    """Calls a lifecycle hook; a reporter that raises is told of and stops nothing."""
    try:
        getattr(host.manager.hook, name)(**values)
    except Exception as error:  # noqa: BLE001 - a plugin's code
        click.echo(f"bench: {name} of a plugin raised {type(error).__name__}: {error}", err=True)


def _tell(record: Record) -> None:
    """One line for each kind of failure in a cell."""
    where = record.cell.id
    if record.error:
        click.echo(f"bench: {where}: failed: {record.error.message}", err=True)
    if record.status == "not-applicable":
        click.echo(f"bench: {where}: not applicable: {record.reason}", err=True)
    kinds = Counter(failure.error for failure in record.failures)
    for message, count in kinds.most_common(SHOWN_FAILURES):
        click.echo(f"bench: {where}: {count} {'pair' if count == 1 else 'pairs'} failed: {message}", err=True)
    if len(kinds) > SHOWN_FAILURES:
        click.echo(f"bench: {where}: and {len(kinds) - SHOWN_FAILURES} more kinds of failure; its record.json has all", err=True)
    if record.counts and (record.counts.excluded or record.counts.absent_points):
        click.echo(
            f"bench: {where}: {_counted(record.counts.absent_points, 'point')} NaN or missing and not counted"
            + (f"; {_counted(record.counts.excluded, 'pair')} without a valid point and left out" if record.counts.excluded else ""),
            err=True,
        )


def _counted(number: int, what: str) -> str:
    return f"{number} {what} is" if number == 1 else f"{number} {what}s are"


class _Bar:
    """A progress bar on stderr, if that is a terminal."""

    def __init__(self, title: str) -> None:
        from tqdm import tqdm

        self._bar = tqdm(desc=title, unit="pair", file=sys.stderr, disable=not sys.stderr.isatty(), leave=False, total=0)

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def show(self, cell: str, done: int, total: int) -> None:
        """A `harness.runner.Progress`."""
        self._bar.total = total
        self._bar.update(done - self._bar.n)
