"""`bench leaderboard` and `bench rescore`: what can be had from records without a model."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.options import CommaList, data_root, number_range
from harness.cli.terminal import print_warnings
from harness.errors import UserError
from harness.plugins.host import Host
from harness.records.folders import read_results
from harness.tables.table import FORMATS, Format

if TYPE_CHECKING:
    from harness.specs import Averaging

TABLES = ("overall", "prompt-types", "per-category", "generalisation", "timesteps")


@click.command("leaderboard")
@click.argument("folder", type=click.Path(path_type=Path), default=Path("results"))
@click.option(
    "--format",
    "format_",
    type=click.Choice(FORMATS),
    default="md",
    show_default=True,
    help="csv and json have all numbers, one a row, whatever the --table.",
)
@click.option(
    "--table",
    "kind",
    type=click.Choice(TABLES),
    default="overall",
    show_default=True,
    help="overall: methods ranked; prompt-types, per-category, generalisation: the shapes of SD4Match's Tables 1, 2 and 3 (columns are "
    "prompts, categories, datasets); timesteps: a row a timestep, Fig. 3(b).",
)
@click.option("--protocol", help="The table's protocol; sd4match where records have it.")
@click.option(
    "--averaging",
    type=click.Choice(["image", "point"]),
    help="Mean per image unless said; csv and json have both unless said.",
)
@click.option("--alphas", type=CommaList(number_range), metavar="A,B", help="Only these thresholds.")
@click.option("--localizers", type=CommaList(), metavar="A,B", help="Only these localizers.")
@click.option(
    "--reported",
    is_flag=True,
    help="Beside them, marked, what papers printed, and how far the measured numbers are from it.",
)
@click.option("--rank-reported", is_flag=True, help="The same, ranked among the measured rows.")
@click.option(
    "--ties/--no-ties",
    default=True,
    show_default=True,
    help="overall: rows that are not told apart share their place. Reads predictions and the dataset's annotations.",
)
@click.option(
    "--datasets",
    type=CommaList(),
    metavar="NAME=PATH",
    help="Places of datasets that are not below --data-root.",
)
@data_root
@click.pass_obj
def leaderboard(
    host: Host,
    folder: Path,
    format_: Format,
    kind: str,
    protocol: str | None,
    averaging: Averaging | None,
    alphas: tuple[float, ...] | None,
    localizers: tuple[str, ...] | None,
    reported: bool,
    rank_reported: bool,
    ties: bool,
    datasets: tuple[str, ...] | None,
    data_root: Path,
) -> int:
    """The tables of a results folder.

    Best in bold and second underlined, per column and supervision group.
    """
    from harness.scoring.criteria import make_criterion
    from harness.scoring.rescore import Rescorer
    from harness.tables.categories import per_category
    from harness.tables.generalisation import generalisation
    from harness.tables.leaderboard import leaderboard as overall
    from harness.tables.prompt_types import prompt_types
    from harness.tables.reported import read_reported
    from harness.tables.table import filter_tidy, render_tables
    from harness.tables.ties import Ties
    from harness.tables.timesteps import timesteps
    from harness.tables.view import check_asked, main_protocol

    if kind in ("prompt-types", "per-category", "timesteps") and alphas and len(alphas) > 1:
        raise UserError(f"--table {kind} is at one threshold; give one of --alphas")
    if kind in ("prompt-types", "timesteps") and rank_reported:
        raise UserError(f"--table {kind} ranks nothing; give --reported instead of --rank-reported")
    if kind == "timesteps" and reported:
        raise UserError(
            "--table timesteps: no paper printed numbers by timestep; SD4Match's Fig. 3(b) is a drawing"
        )
    records, damaged = read_results(folder)
    print_warnings(damaged)
    check_asked(records, alphas, localizers)
    meaned = averaging or "image"
    printed = read_reported() if reported or rank_reported else None
    one: dict[str, Any] = {
        "protocol": protocol,
        "averaging": meaned,
        "localizers": localizers,
        "alpha": alphas[0] if alphas else None,
    }
    several: dict[str, Any] = {
        "protocol": protocol,
        "averaging": meaned,
        "localizers": localizers,
        "alphas": alphas,
    }
    with_printed: dict[str, Any] = {"reported": printed, "rank_reported": rank_reported}
    rescorer = Rescorer(host, data_root, datasets or ())
    if kind == "prompt-types":
        tables = [prompt_types(records, **one, reported=printed)]
    elif kind == "timesteps":
        tables = [timesteps(records, **one)]
    elif kind == "per-category":
        tables = per_category(records, **one, **with_printed)
    elif kind == "generalisation":
        tables = [generalisation(records, **several, **with_printed)]
    else:
        counted = protocol or main_protocol(records)
        finder = Ties(folder, rescorer.split, partial(make_criterion, host), counted, meaned)
        wanted = ties and format_ not in ("csv", "json")
        tables = [overall(records, **several, **with_printed, full=True, places=finder if wanted else None)]
        for problem in finder.problems:
            click.echo(f"bench: ties could not be told: {problem}", err=True)
        damaged += finder.problems
    wanted_rows = {
        "protocol": protocol and [protocol],
        "averaging": averaging and [averaging],
        "alpha": alphas,
    }
    click.echo(render_tables([filter_tidy(table, wanted_rows) for table in tables], format_), nl=False)
    return int(bool(damaged))
