"""`bench run`: a sweep, from names to a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.api.run_arguments import RunArguments
from harness.api.run_sweep import run_sweep
from harness.cli.config import read_config
from harness.cli.config_file import ConfiguredCommand
from harness.cli.examples import examples
from harness.cli.option_names import option
from harness.cli.options import (
    CommaList,
    DatasetList,
    NumberList,
    ShardNumber,
    data_root,
    gigabytes,
    number_from,
    number_range,
    parameter_settings,
    positive,
    seconds,
    typed_arguments,
    warn_of_large_alphas,
    weights,
)
from harness.cli.terminal import TerminalReporter, print_warnings, stdout_format
from harness.cli.verbosity import print_information
from harness.errors import UserError
from harness.files import with_home
from harness.messages import counted, shell_word
from harness.plugins.host import Host
from harness.running.parameters import SHORT_NAMES
from harness.running.plan import plan

if TYPE_CHECKING:
    from harness.records.schema import Record


def _parse_cache_folder(ctx: click.Context, param: click.Parameter, value: str | None) -> Path | None:
    if value is not None and not value.strip():
        # As from an unset variable of a shell: `Path("")` would be the folder that the user is in.
        raise UserError("--cache-dir: is empty; give a folder")
    return with_home(value) if value else None


@click.command(
    "run",
    cls=ConfiguredCommand,
    short_help="Run methods on datasets and print the table.",
    epilog=examples(
        "bench run --methods position,hog --limit 60",
        "bench run --methods sd4match-cpm,dift --weights paper --datasets spair-71k --dry-run",
        "bench run --methods position,hog --categories cat,house",
        "bench run --methods dift --timesteps 0..500:100 --datasets shapes",
        "bench run --methods dift --datasets spair-71k --data-root data --weights paper",
    ),
)
@option("--methods", type=CommaList(), required=True, metavar="A,B", help="Methods ('bench list methods').")
@option(
    "--datasets",
    type=DatasetList(),
    default="shapes",
    show_default=True,
    metavar="A,B=PATH",
    help='Datasets, or NAME=PATH; a path with a comma as NAME="PATH".',
)
@option("--split", help="Split of every dataset; each one's default otherwise.")
@option(
    "--categories",
    type=CommaList(),
    metavar="A,B",
    help="Only pairs of these categories, as a cell of its own; all otherwise. A name with a comma stands in "
    "double quotes.",
)
@option(
    "--prompts",
    type=DatasetList(),
    metavar="A,B=FILE",
    help="Prompt types, or NAME=FILE for one that reads a file; each method's own otherwise.",
)
@option("--localizers", type=CommaList(), metavar="A,B", help="Localizers; each method's own otherwise.")
@option(
    "--protocols",
    type=CommaList(),
    default="sd4match",
    show_default=True,
    metavar="A,B",
    help="Protocols to score under.",
)
@option(
    "--alphas",
    type=CommaList(number_range),
    callback=warn_of_large_alphas,
    metavar="A,B",
    help="Thresholds; each protocol's own otherwise.",
)
@option(
    "--timesteps",
    "timestep",
    type=NumberList(SHORT_NAMES["timestep"]),
    metavar="T,T|T..T",
    help="Timesteps to sweep: 50,261 or 0..500:100; 0..500 is in steps of 50.",
)
@option("--train-timestep", is_flag=True, help="Run learned prompts at the timestep that they were tuned at.")
@option("--ensembles", "ensemble", type=CommaList(positive), metavar="N,N", help="Ensemble sizes to sweep.")
@parameter_settings
@option(
    "--prompt-file",
    "prompt_files",
    multiple=True,
    metavar="METHOD=PATH",
    help="A learned prompt of your own, one cell each: a file of 'bench train', or of SD4Match's release. "
    "Repeatable.",
)
@option(
    "--trained-on",
    metavar="DATASET",
    help="Use the learned prompts that were trained on this dataset, bundled or fetched.",
)
@option(
    "--seeds",
    "seed",
    type=CommaList(int),
    default="0",
    show_default=True,
    metavar="S,S",
    help="Seeds to sweep.",
)
@option(
    "--limit",
    type=click.IntRange(min=1),
    metavar="N",
    help="Only N pairs of each split, spread over the categories.",
)
@option(
    "--shard",
    type=ShardNumber(),
    metavar="I/N",
    help="Only part I of N of these pairs, the same parts on every machine; 'bench merge' puts the results "
    "of all N together.",
)
@weights
@option("--device", default="auto", show_default=True, help="Torch device; auto takes a GPU if there is one.")
@option("--precision", type=click.Choice(["fp32", "bf16", "fp16"]), default="fp32", show_default=True)
@option("--compile", is_flag=True, help="Compile the networks (torch.compile): minutes once, then faster.")
@option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    help="Images, or pairs, computed at once; fewer where memory is short, and for the pairs that a small "
    "--limit chooses.",
)
@option(
    "--cache-gb",
    "cache_bytes",
    type=gigabytes,
    metavar="GB",
    default="4",
    show_default=True,
    help="Memory in GB for features and latents that are kept; with less, more is computed again.",
)
@option(
    "--cache-dir",
    "cache",
    old=("--cache",),
    callback=_parse_cache_folder,
    metavar="DIR",
    help="Folder that keeps latents and DINO's features for later runs.",
)
@option(
    "--workers",
    type=click.IntRange(min=0),
    metavar="N",
    help="Processes that decode pictures ahead; up to 4 beside a GPU and none on a CPU otherwise.",
)
@option(
    "--fresh",
    is_flag=True,
    help="Compute finished cells anew, with all localizers that they have; earlier numbers stay until then.",
)
@option(
    "--timeout",
    type=seconds,
    metavar="SECONDS",
    help="Longest time of one call of an extractor, prompt or localizer; pairs whose call takes longer fail.",
)
@option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="Where pairs are predicted: in this process, or by workers on a Ray cluster.",
)
@option(
    "--address",
    metavar="HOST:PORT",
    help="The Ray cluster; RAY_ADDRESS, the one that runs on this machine, or one of this run's own "
    "('local') otherwise.",
)
@option(
    "--gpus-per-worker",
    type=number_from(0),
    metavar="F",
    help="GPUs of each worker, 0.5 for two workers on one; 1 where the cluster has any.",
)
@option(
    "--workers-per-node",
    type=click.IntRange(min=1),
    metavar="N",
    help="Workers on each node at most; as many as its GPUs, or cores, are enough for otherwise.",
)
@option(
    "--start-timeout",
    type=number_from(1),
    metavar="SECONDS",
    help="How long a worker may take to start; 300 otherwise.",
)
@option(
    "--allow-mixed-devices",
    is_flag=True,
    help="Let nodes with different GPUs, or processors, work on one cell: numbers differ by rounding.",
)
@option(
    "--wait",
    is_flag=True,
    help="Wait for cells that another process is running; without it they are told and left to that process.",
)
@option(
    "--dry-run",
    is_flag=True,
    help="Only say what the run would do: cells, pairs, what is there and what is missing, time and memory "
    "as far as earlier cells in --out tell. Status 2 where something is missing.",
)
@option(
    "-o",
    "--out",
    old=("--results",),
    type=click.Path(path_type=Path),
    default=Path("results"),
    show_default=True,
    help="Results folder.",
)
@data_root
@option(
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
    if arguments.dry_run:
        return _print_forecast(host, arguments)
    outcome = run_sweep(host, arguments, TerminalReporter())
    if not outcome.records:
        return 0
    texts = [table.render(stdout_format()) for table in outcome.tables]
    # Each text ends with a line break of its own.
    click.echo("\n".join(texts), nl=False)
    print_information(_closing_line(arguments.out, outcome.records))
    return int(outcome.has_failures)


def _print_forecast(host: Host, arguments: RunArguments) -> int:
    """Prints what the run would do, and returns the status with which it would begin."""
    cells = plan(arguments.sweep(), host)
    from harness.cli.forecast_text import forecast_text
    from harness.running.forecast import forecast

    cluster = arguments.cluster_options()
    device = None
    if cluster:
        is_on_gpu = cluster.gpus_per_worker or arguments.device == "cuda"
        device = "cuda" if is_on_gpu else "cpu"
    expected = forecast(host, cells, arguments.run_options(host, device))
    print_warnings(expected.notes)
    if cluster:
        print_information(
            "--engine ray: times and memory are those of one worker, and nodes are not asked before the run"
        )
    click.echo(forecast_text(expected))
    return 2 if expected.missing else 0


def _closing_line(out: Path, records: Sequence[Record]) -> str:
    """Says where the results are, and what to do next."""
    folder = shell_word(str(out))
    cells = counted(len(records), "cell")
    return (
        f"{cells} in {out}; next: 'bench leaderboard {folder}' for tables of all that is there, "
        f"'bench report {folder} -o report.html' for a page with charts and pairs"
    )
