"""`bench rescore`: stored predictions under other protocols, without a model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.options import (
    CommaList,
    data_root,
    dataset_folders,
    number_range,
    typed_arguments,
    warn_of_large_alphas,
)
from harness.cli.terminal import print_warning, print_warnings
from harness.errors import SeveralErrors, UserError
from harness.plugins.host import Host
from harness.records.folders import read_results

if TYPE_CHECKING:
    from harness.records.schema import Record


@dataclass(frozen=True, kw_only=True)
class RescoreArguments:
    """Arguments and options of `bench rescore` after parsing; help texts say what each is for."""

    folder: Path
    protocols: tuple[str, ...] | None
    alphas: tuple[float, ...] | None
    threshold: str | None
    datasets: tuple[str, ...] | None
    data_root: Path


@click.command("rescore")
@click.argument("folder", type=click.Path(path_type=Path), default=Path("results"))
@click.option(
    "--protocols", type=CommaList(), metavar="A,B", help="Protocols to add; those of each record otherwise."
)
@click.option(
    "--alphas",
    type=CommaList(number_range),
    callback=warn_of_large_alphas,
    metavar="A,B",
    help="Thresholds; each protocol's own otherwise.",
)
@click.option(
    "--threshold",
    type=click.Choice(["box", "image", "points"]),
    help="What alpha multiplies, instead of the dataset's own.",
)
@dataset_folders
@data_root
@typed_arguments(RescoreArguments)
def rescore(host: Host, arguments: RescoreArguments) -> int:
    """Score stored predictions under other protocols, alphas or thresholds, without a model."""
    from harness.scoring.rescore import Rescorer
    from harness.tables.leaderboard import leaderboard
    from harness.tables.view import View

    folder = arguments.folder
    records, damaged = read_results(folder)
    print_warnings(damaged)
    rescorer = Rescorer(host, arguments.data_root, arguments.datasets or (), print_warning)
    rescored: list[Record] = []
    problems: list[str] = []
    for record in records:
        # A cell that failed or is not applicable has no predictions.
        if not record.scores:
            continue
        try:
            rescored.append(
                rescorer.rescore(folder, record, arguments.protocols, arguments.alphas, arguments.threshold)
            )
        except UserError as error:
            # The other cells are scored all the same; the errors are raised together at the end.
            problems.append(str(error))
    if not rescored and not problems:
        raise UserError(f"no cell in {folder} has predictions to score")
    protocols: dict[str, None] = {}
    for record in rescored:
        protocols |= dict.fromkeys(score.protocol for score in record.scores)
    # A table each: numbers of two protocols cannot be compared.
    for name in protocols:
        table = leaderboard(rescored, View(name))
        click.echo(table.render("md"))
    if problems:
        # Cells of one missing dataset have the same problem: it is said once.
        raise SeveralErrors(dict.fromkeys(problems))
    return int(bool(damaged))
