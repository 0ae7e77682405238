"""`bench run`: a sweep, from names to a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.config import _configure
from harness.cli.options import CommaList, NumberList, data_root, gigabytes, number_range, positive, weights
from harness.cli.terminal import TerminalReporter
from harness.errors import UserError
from harness.plugins.host import Host
from harness.running.plan import plan
from harness.sweep import DatasetChoice, Sweep

if TYPE_CHECKING:
    from harness.records.schema import Record
    from harness.running.resources import RunOptions


def _cache_folder(ctx: click.Context, param: click.Parameter, value: str | None) -> Path | None:
    if value is not None and not value.strip():
        raise UserError("--cache: is empty; give a folder")
    return Path(value).expanduser() if value else None


@click.command("run")
@click.option(
    "--methods", type=CommaList(), required=True, metavar="A,B", help="Methods ('bench list methods')."
)
@click.option(
    "--datasets",
    type=CommaList(),
    default="shapes",
    show_default=True,
    metavar="A,B=PATH",
    help="Datasets, or NAME=PATH.",
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
    "--alphas", type=CommaList(number_range), metavar="A,B", help="Thresholds; each protocol's own otherwise."
)
@click.option(
    "--timestep",
    type=NumberList(),
    metavar="T,T|T..T",
    help="Timesteps to sweep: 50,261 or 0..500:100; 0..500 is in steps of 50.",
)
@click.option(
    "--train-timestep", is_flag=True, help="Learned prompts at the timestep that they were tuned at."
)
@click.option("--ensemble", type=CommaList(positive), metavar="N,N", help="Ensemble sizes to sweep.")
@click.option(
    "--prompt-file",
    "prompt_files",
    multiple=True,
    metavar="METHOD=PATH",
    help="A learned prompt of your own, one cell each: what 'bench train' wrote, or a file of SD4Match's release. Repeatable.",
)
@click.option(
    "--trained-on", metavar="DATASET", help="Of the learned prompts there are, those tuned on this dataset."
)
@click.option(
    "--seed", type=CommaList(int), default="0", show_default=True, metavar="S,S", help="Seeds to sweep."
)
@click.option("--limit", type=click.IntRange(min=1), help="Only the first so many pairs of each split.")
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
@click.option(
    "--cache",
    callback=_cache_folder,
    metavar="DIR",
    help="Folder that keeps latents and DINO's features for later runs.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    metavar="N",
    help="Processes that decode pictures ahead: up to 4 beside a GPU, none on a CPU, unless this says otherwise.",
)
@click.option(
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
    from harness.running.engine import run_cells

    records = run_cells(host, cells, _run_options(host, options), TerminalReporter())
    from harness.tables.leaderboard import leaderboard
    from harness.tables.prompt_types import prompt_types
    from harness.tables.timesteps import timesteps

    shown = {name for cell in cells for name in cell.localizers}
    protocols = list(dict.fromkeys(options["protocols"]))
    scored = _scored(records, protocols)
    tables = [
        leaderboard(records, protocol=name, alphas=options["alphas"], localizers=sorted(shown))
        for name in scored
    ]
    if len(set(options["prompts"] or ())) > 1:
        tables += [
            prompt_types(records, protocol=name, localizers=sorted(shown), prompts=options["prompts"])
            for name in scored
        ]
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


def _run_options(host: Host, options: Mapping[str, Any]) -> RunOptions:
    """How cells are run. Raises `UserError` for a device, protocol or weights that are not there."""
    from harness.environment import device_name, require_compiler
    from harness.features.prefetch import default_workers
    from harness.running.resources import RunOptions
    from harness.scoring.criteria import criterion
    from harness.weights.choice import WeightChoice

    criteria = tuple(criterion(host, name, options["alphas"]) for name in dict.fromkeys(options["protocols"]))
    device = device_name(options["device"])
    if options["compile"]:
        require_compiler(device)
    return RunOptions(
        data_root=options["data_root"],
        out=options["out"],
        criteria=criteria,
        device=device,
        precision=options["precision"],
        compiled=options["compile"],
        batch_size=options["batch_size"],
        limit=options["limit"],
        weights=WeightChoice.parse(host, options["weights"], options["weights_root"]),
        cache_bytes=options["cache_bytes"],
        cache=options["cache"],
        workers=default_workers(device) if options["workers"] is None else options["workers"],
    )
