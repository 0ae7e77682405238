"""`bench leaderboard` and `bench rescore`: what can be had from records without a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from harness.cli.options import CommaList, data_root, number_range
from harness.errors import SeveralErrors, UserError
from harness.plugins import Host
from harness.tables import FORMATS, Format

if TYPE_CHECKING:
    from harness.records import Record


@click.command("leaderboard")
@click.argument("folder", type=click.Path(path_type=Path), default=Path("results"))
@click.option("--format", "format_", type=click.Choice(FORMATS), default="md", show_default=True)
@click.option(
    "--table",
    "kind",
    type=click.Choice(["overall", "prompt-types", "timesteps"]),
    default="overall",
    show_default=True,
    help="overall: methods ranked; prompt-types: a column a prompt, as in SD4Match's Table 1; timesteps: a row a timestep, Fig. 3(b).",
)
@click.option("--protocol", help="The table's protocol; sd4match where records have it.")
@click.option("--averaging", type=click.Choice(["image", "point"]), default="image", show_default=True)
@click.option("--alphas", type=CommaList(number_range), metavar="A,B", help="Only these thresholds.")
@click.option("--localizers", type=CommaList(), metavar="A,B", help="Only these localizers.")
def leaderboard(
    folder: Path,
    format_: Format,
    kind: str,
    protocol: str | None,
    averaging: Literal["image", "point"],
    alphas: tuple[float, ...] | None,
    localizers: tuple[str, ...] | None,
) -> int:
    """The table of a results folder."""
    from harness.table_prompts import prompt_types
    from harness.table_timesteps import timesteps
    from harness.tables import check_asked
    from harness.tables import leaderboard as table

    records, damaged = _readable(folder)
    check_asked(records, alphas, localizers)
    if kind != "overall":
        if alphas and len(alphas) > 1:
            raise UserError(f"--table {kind} is at one threshold; give one of --alphas")
        made = prompt_types if kind == "prompt-types" else timesteps
        shown = made(records, protocol=protocol, averaging=averaging, alpha=alphas[0] if alphas else None, localizers=localizers)
    else:
        shown = table(records, protocol=protocol, averaging=averaging, alphas=alphas, localizers=localizers)
    click.echo(shown.render(format_), nl=False)
    return int(damaged)


@click.command("rescore")
@click.argument("folder", type=click.Path(path_type=Path), default=Path("results"))
@click.option("--protocols", type=CommaList(), metavar="A,B", help="Protocols to add; those of each record otherwise.")
@click.option("--alphas", type=CommaList(number_range), metavar="A,B", help="Thresholds; each protocol's own otherwise.")
@click.option("--threshold", type=click.Choice(["box", "image", "points"]), help="What alpha multiplies, instead of the dataset's own.")
@click.option("--datasets", type=CommaList(), metavar="NAME=PATH", help="Places of datasets that are not below --data-root.")
@data_root
@click.pass_obj
def rescore(
    host: Host,
    folder: Path,
    protocols: tuple[str, ...] | None,
    alphas: tuple[float, ...] | None,
    threshold: str | None,
    datasets: tuple[str, ...] | None,
    data_root: Path,
) -> int:
    """Score stored predictions under other protocols, alphas or thresholds, without a model."""
    from harness.rescoring import Rescorer
    from harness.tables import leaderboard as table

    records, damaged = _readable(folder)
    rescorer = Rescorer(host, data_root, datasets or ())
    changed: list[Record] = []
    refused: list[str] = []
    for record in records:
        if record.scores:
            try:
                changed.append(rescorer.rescore(folder, record, protocols, alphas, threshold))
            except UserError as error:
                refused.append(str(error))
    if not changed and not refused:
        raise UserError(f"no cell in {folder} has predictions to score")
    for name in dict.fromkeys(score.protocol for record in changed for score in record.scores):
        click.echo(table(changed, protocol=name).render("md"))
    if refused:
        raise SeveralErrors(dict.fromkeys(refused))
    return int(damaged)


def _readable(folder: Path) -> tuple[list[Record], bool]:
    """The records that can be read, and whether there are others, each told in one line."""
    from harness.records import read_record, record_paths

    records, damaged = [], False
    for path in record_paths(folder):
        try:
            records.append(read_record(path))
        except UserError as error:
            damaged = True
            click.echo(f"bench: {error}", err=True)
    if not records:
        raise UserError(f"no finished cell in {folder}; 'bench run --out {folder}' makes some")
    return records, damaged
