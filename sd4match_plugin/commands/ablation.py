"""`bench ablation`: the six cases of SD4Match's Fig. 3(a), tuned and evaluated."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from harness.cli.run import run
from harness.errors import UserError
from harness.plugins.host import Host
from harness.sweep import DatasetChoice
from sd4match_plugin.commands.train import train_command

METHOD = "sd4match-cpm"

_PATH = click.Path(path_type=Path)

_OF_OTHERS = ("method", "init", "tokens", "ablation", "out")
"""What `bench train` asks for and this command says itself, or other methods have."""


def ablation_command() -> click.Command:
    """The command `ablation`, which takes what `bench train sd4match-cpm` takes."""
    return _ablation


@click.command("ablation", short_help="Tune and compare the variants of sd4match-cpm.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("prompts/ablation"),
    show_default=True,
    help="Folder of the trainings, one a case.",
)
@click.option(
    "--results",
    type=click.Path(path_type=Path),
    default=Path("results/ablation"),
    show_default=True,
    help="Folder of what is measured.",
)
@click.option("--test-split", help="Split to compare on; the dataset's own otherwise.")
@click.pass_context
def _ablation(ctx: click.Context, /, out: Path, results: Path, test_split: str | None, **options: Any) -> int:
    """Tune the six cases of the conditional prompting module in SD4Match's Fig. 3(a), evaluate them and print the table.

    Cases: patches or the head token of DINOv2, of the image pair or of each image alone; without the global tokens; without the layer over
    patches. All are tuned alike. Given again, the command goes on where it was stopped.
    """
    from sd4match_plugin.prompts.cpm import ABLATION
    from sd4match_plugin.prompts.prompt_file import BEST

    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError(
            "bench ablation is for one process; on several, tune each case with 'bench train sd4match-cpm --ablation CASE'"
        )
    host: Host = ctx.obj
    dataset = host.datasets[DatasetChoice.parse(options["dataset_name"]).name]
    if test_split and test_split not in dataset.splits:
        raise UserError(
            f"--test-split {test_split}: dataset '{dataset.name}' has the splits {', '.join(dataset.splits)}"
        )
    shared = {"cache": options.pop("cache") or out / "encoded"}
    tuned, failed = [], 0
    for number, case in enumerate(ABLATION, start=1):
        click.echo(f"{number}/{len(ABLATION)} {case}", err=True)
        failed |= ctx.invoke(
            train_command(), method=METHOD, ablation=case, out=out / case, **shared, **options
        )
        if (out / case / BEST).is_file():
            tuned.append(f"{METHOD}={out / case / BEST}")
    if not tuned:
        return 1
    passed_on = {
        name: options[name] for name in ("weights", "weights_root", "data_root", "device", "precision")
    }
    datasets = (options["dataset_name"],)
    seeds = (options["seed"],)
    told: int = ctx.invoke(
        run,
        methods=(METHOD,),
        datasets=datasets,
        split=test_split,
        seed=seeds,
        prompt_files=tuned,
        out=results,
        **passed_on,
    )
    return failed or told


_ablation.params += [one for one in train_command().params if one.name not in _OF_OTHERS]
