"""`bench run`: a sweep, from names to a table."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.config import read_config
from harness.cli.options import (
    CommaList,
    DatasetList,
    NumberList,
    data_root,
    gigabytes,
    merge_overrides,
    number_range,
    parameter_settings,
    positive,
    typed_arguments,
    warn_of_large_alphas,
    weights,
)
from harness.cli.places import place_warnings, with_places, with_seed_intervals
from harness.cli.terminal import TerminalReporter, print_warnings, stdout_format
from harness.errors import UserError
from harness.messages import counted
from harness.plugins.host import Host
from harness.running.parameters import SHORT_NAMES
from harness.running.plan import plan
from harness.sweep import Cell, DatasetChoice, Sweep, format_value

if TYPE_CHECKING:
    from harness.records.schema import Record
    from harness.running.resources import RunOptions
    from harness.tables.table import Table


@dataclass(frozen=True, kw_only=True)
class RunArguments:
    """The options of `bench run` after parsing. The help text of each says what it is for."""

    methods: tuple[str, ...]
    datasets: tuple[str, ...]
    split: str | None
    prompts: tuple[str, ...] | None
    localizers: tuple[str, ...] | None
    protocols: tuple[str, ...]
    alphas: tuple[float, ...] | None
    timestep: tuple[int, ...] | None
    ensemble: tuple[int, ...] | None
    settings: dict[str, tuple[str, ...]]
    train_timestep: bool
    prompt_files: tuple[str, ...]
    trained_on: str | None
    seed: tuple[int, ...]
    limit: int | None
    weights: tuple[str, ...]
    weights_root: Path | None
    device: str
    precision: str
    compile: bool
    batch_size: int
    cache_bytes: int
    cache: Path | None
    workers: int | None
    fresh: bool
    out: Path
    data_root: Path

    def sweep(self) -> Sweep:
        """The part that says which cells are run.

        Raises:
            UserError: a --prompt-file has no path, or a parameter is set twice.
        """
        short = {"timestep": self.timestep, "ensemble": self.ensemble}
        return Sweep(
            methods=self.methods,
            datasets=tuple(map(DatasetChoice.parse, self.datasets)),
            prompts=self.prompts,
            localizers=self.localizers,
            split=self.split,
            seeds=self.seed,
            overrides=merge_overrides(self.settings, short),
            prompt_files=_parse_prompt_files(self.prompt_files),
            trained_on=self.trained_on,
            train_timestep=self.train_timestep,
        )

    def run_options(self, host: Host) -> RunOptions:
        """The part that says how cells are run.

        Raises:
            UserError: the device, a protocol or weights are not there.
        """
        from harness.environment import device_name, require_compiler
        from harness.features.prefetch import default_workers
        from harness.running.resources import RunOptions
        from harness.scoring.criteria import make_criterion
        from harness.weights.choice import WeightChoice

        criteria = []
        # A protocol that is named twice is scored once.
        for name in dict.fromkeys(self.protocols):
            criteria.append(make_criterion(host, name, self.alphas))
        device = device_name(self.device)
        if self.compile:
            # Without a compiler every pair would fail, one after another.
            require_compiler(device)
        workers = self.workers
        if workers is None:
            workers = default_workers(device)
        return RunOptions(
            data_root=self.data_root,
            out=self.out,
            criteria=tuple(criteria),
            device=device,
            precision=self.precision,
            compiled=self.compile,
            batch_size=self.batch_size,
            limit=self.limit,
            weights=WeightChoice.parse(host, self.weights, self.weights_root),
            cache_bytes=self.cache_bytes,
            cache=self.cache,
            workers=workers,
            fresh=self.fresh,
        )


def _parse_prompt_files(texts: Sequence[str]) -> dict[str, tuple[Path, ...]]:
    """The values of --prompt-file by method. Raises `UserError` for one that is not METHOD=PATH."""
    files: dict[str, tuple[Path, ...]] = {}
    for text in texts:
        name, _, path = text.partition("=")
        if not (name and path):
            raise UserError(f"--prompt-file {text}: expected METHOD=PATH")
        files[name] = (*files.get(name, ()), Path(path).expanduser())
    return files


def _parse_cache_folder(ctx: click.Context, param: click.Parameter, value: str | None) -> Path | None:
    if value is not None and not value.strip():
        # As from an unset variable of a shell: `Path("")` would be the folder that the user is in.
        raise UserError("--cache: is empty; give a folder")
    return Path(value).expanduser() if value else None


@click.command("run")
@click.option(
    "--methods", type=CommaList(), required=True, metavar="A,B", help="Methods ('bench list methods')."
)
@click.option(
    "--datasets",
    type=DatasetList(),
    default="shapes",
    show_default=True,
    metavar="A,B=PATH",
    help='Datasets, or NAME=PATH; a path with a comma as NAME="PATH".',
)
@click.option("--split", help="Split of every dataset; each one's default otherwise.")
@click.option("--prompts", type=CommaList(), metavar="A,B", help="Prompt types; each method's own otherwise.")
@click.option(
    "--localizers", type=CommaList(), metavar="A,B", help="Localizers; each method's own otherwise."
)
@click.option(
    "--protocols",
    type=CommaList(),
    default="sd4match",
    show_default=True,
    metavar="A,B",
    help="Protocols to score under.",
)
@click.option(
    "--alphas",
    type=CommaList(number_range),
    callback=warn_of_large_alphas,
    metavar="A,B",
    help="Thresholds; each protocol's own otherwise.",
)
@click.option(
    "--timestep",
    "--timesteps",
    type=NumberList(SHORT_NAMES["timestep"]),
    metavar="T,T|T..T",
    help="Timesteps to sweep: 50,261 or 0..500:100; 0..500 is in steps of 50.",
)
@click.option(
    "--train-timestep", is_flag=True, help="Run learned prompts at the timestep that they were tuned at."
)
@click.option(
    "--ensemble", "--ensembles", type=CommaList(positive), metavar="N,N", help="Ensemble sizes to sweep."
)
@parameter_settings
@click.option(
    "--prompt-file",
    "prompt_files",
    multiple=True,
    metavar="METHOD=PATH",
    help="A learned prompt of your own, one cell each: a file of 'bench train', or of SD4Match's release. "
    "Repeatable.",
)
@click.option(
    "--trained-on",
    metavar="DATASET",
    help="Use the learned prompts that were trained on this dataset, bundled or fetched.",
)
@click.option(
    "--seed",
    "--seeds",
    type=CommaList(int),
    default="0",
    show_default=True,
    metavar="S,S",
    help="Seeds to sweep.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    metavar="N",
    help="Only N pairs of each split, spread over the categories.",
)
@weights
@click.option(
    "--device", default="auto", show_default=True, help="Torch device; auto takes a GPU if there is one."
)
@click.option("--precision", type=click.Choice(["fp32", "bf16", "fp16"]), default="fp32", show_default=True)
@click.option(
    "--compile", is_flag=True, help="Compile the networks (torch.compile): minutes once, then faster."
)
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    help="Images, or pairs, computed at once; fewer where memory is short.",
)
@click.option(
    "--cache-gb",
    "cache_bytes",
    type=gigabytes,
    metavar="GB",
    default="4",
    show_default=True,
    help="Memory in GB for features and latents that are kept; with less, more is computed again.",
)
@click.option(
    "--cache",
    "--cache-dir",
    callback=_parse_cache_folder,
    metavar="DIR",
    help="Folder that keeps latents and DINO's features for later runs.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    metavar="N",
    help="Processes that decode pictures ahead; up to 4 beside a GPU and none on a CPU otherwise.",
)
@click.option(
    "--fresh",
    is_flag=True,
    help="Compute finished cells anew, with all localizers that they have; earlier numbers stay until then.",
)
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    default=Path("results"),
    show_default=True,
    help="Results folder.",
)
@data_root
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    callback=read_config,
    # Before the other options, whose defaults come from the file.
    is_eager=True,
    expose_value=False,
    help="TOML file with any of these options by name; flags win.",
)
@typed_arguments(RunArguments)
def run(host: Host, arguments: RunArguments) -> int:
    """Run methods on datasets and print the table.

    A finished cell is not run again. An interrupted one goes on where it stopped.
    """
    # Planned before torch is imported: a misspelled name is answered at once.
    cells = plan(arguments.sweep(), host)
    from harness.running.engine import run_cells

    records = run_cells(host, cells, arguments.run_options(host), TerminalReporter())
    tables = _tables(host, arguments, cells, records)
    texts = [table.render(stdout_format()) for table in tables]
    # Each text ends with a line break of its own.
    click.echo("\n".join(texts), nl=False)
    click.echo(_closing_line(arguments.out, records), err=True)
    has_failures = any(record.status in ("failed", "partial") for record in records)
    return int(has_failures)


def _closing_line(out: Path, records: Sequence[Record]) -> str:
    """Says where the results are, and what to do next."""
    folder = shlex.quote(str(out))
    cells = counted(len(records), "cell")
    return (
        f"bench: {cells} in {out}; next: 'bench leaderboard {folder}' for tables of all that is there, "
        f"'bench report {folder} -o report.html' for a page with charts and pairs"
    )


def _tables(
    host: Host, arguments: RunArguments, cells: Sequence[Cell], records: Sequence[Record]
) -> list[Table]:
    """A leaderboard for each protocol, then a table for each axis that was swept, for each protocol."""
    from harness.scoring.sources import Sources
    from harness.tables.catalogue import CATALOGUE
    from harness.tables.view import View, choose_protocol, own_averaging

    # Records may hold the numbers of other localizers, from earlier runs.
    localizers: set[str] = set()
    for cell in cells:
        localizers.update(cell.localizers)
    prompts = arguments.prompts or ()
    places = [name for name in arguments.datasets if "=" in name]
    sources = Sources(host, arguments.data_root, places)
    views, finders = [], []
    for protocol in _protocols_with_scores(records, arguments.protocols):
        name = choose_protocol(records, protocol)
        view = View(
            name,
            own_averaging(records, name, host.protocols),
            alphas=arguments.alphas,
            localizers=sorted(localizers),
            prompts=prompts,
        )
        # As 'bench leaderboard' does: the same records have the same places in both.
        view, finder = with_places(host, view, arguments.out, sources)
        view = with_seed_intervals(host, view, arguments.out, sources)
        views.append(view)
        finders.append(finder)
    kinds = [("overall", views)]
    if len(set(prompts)) > 1:
        kinds.append(("prompt-types", views))
    for parameter in _swept_parameters(cells, arguments.sweep().overrides):
        sweep_views = [replace(view, parameter=parameter) for view in views]
        kinds.append(("sweep", sweep_views))
    tables: list[Table] = []
    for name, kind_views in kinds:
        for view in kind_views:
            tables += CATALOGUE[name].tables(records, view)
    for finder in finders:
        print_warnings(place_warnings(finder))
    return tables


def _swept_parameters(cells: Sequence[Cell], parameters: Iterable[str]) -> list[str]:
    """Those of the parameters that the user set which have several values, in order of name."""
    values: dict[str, set[str]] = {name: set() for name in parameters}
    for cell in cells:
        for name, value in cell.params:
            if name in values:
                values[name].add(format_value(value))
    # A sweep has a table only where there is something to compare.
    names = []
    for name in sorted(values):
        if len(values[name]) > 1:
            names.append(name)
    return names


def _protocols_with_scores(records: Sequence[Record], protocols: Sequence[str]) -> list[str | None]:
    """The user's protocols that some record has; None where there are none, for a table without numbers."""
    scored: set[str] = set()
    for record in records:
        scored.update(score.protocol for score in record.scores)
    names: list[str | None] = []
    for protocol in dict.fromkeys(protocols):
        if protocol in scored:
            names.append(protocol)
    return names or [None]
