"""`bench rescore`: stored predictions under other protocols, without a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.api.places import with_places, with_seed_intervals
from harness.cli.examples import examples
from harness.cli.option_names import option
from harness.cli.options import (
    CommaList,
    data_root,
    dataset_folders,
    number_range,
    typed_arguments,
    warn_of_large_alphas,
)
from harness.cli.progress import ProgressBar
from harness.cli.table_files import choose_output, out_option
from harness.cli.terminal import print_warning, print_warnings
from harness.errors import BenchError, SeveralErrors, UserError
from harness.messages import failed_pairs
from harness.plugins.host import Host
from harness.records.folders import cell_folders
from harness.records.results import read_results
from harness.tables.table import FORMATS, Format, render_tables

if TYPE_CHECKING:
    from harness.scoring.rescore import Rescored
    from harness.scoring.sources import Sources
    from harness.tables.table import Table


@dataclass(frozen=True, kw_only=True)
class RescoreArguments:
    """Arguments and options of `bench rescore` after parsing; help texts say what each is for."""

    folder: Path
    protocols: tuple[str, ...] | None
    alphas: tuple[float, ...] | None
    threshold: str | None
    datasets: tuple[str, ...] | None
    data_root: Path
    format_: Format | None
    out: Path | None


@click.command(
    "rescore",
    short_help="Score stored predictions anew, without a model.",
    epilog=examples(
        "bench rescore results --protocols original",
        "bench rescore results --alphas 0.01,0.05,0.1",
    ),
)
@click.argument("folder", type=click.Path(path_type=Path), default=Path("results"))
@option(
    "--protocols", type=CommaList(), metavar="A,B", help="Protocols to add; those of each record otherwise."
)
@option(
    "--alphas",
    type=CommaList(number_range),
    callback=warn_of_large_alphas,
    metavar="A,B",
    help="Thresholds; each protocol's own otherwise.",
)
@option(
    "--threshold",
    type=click.Choice(["box", "image", "points"]),
    help="What alpha multiplies, instead of the dataset's own.",
)
@option(
    "--format",
    "format_",
    type=click.Choice(FORMATS),
    help="text on a terminal and md elsewhere unless said.",
)
@out_option(".md .csv .tex .html .json .txt")
@dataset_folders
@data_root
@typed_arguments(RescoreArguments)
def rescore(host: Host, arguments: RescoreArguments) -> int:
    """Score stored predictions under other protocols, alphas or thresholds, without a model."""
    from harness.scoring.rescore import Rescorer
    from harness.scoring.sources import Sources

    folder = arguments.folder
    output = choose_output(arguments.format_, arguments.out, FORMATS)
    records, damaged = read_results(folder)
    print_warnings(damaged)
    sources = Sources(host, arguments.data_root, arguments.datasets or ())
    rescorer = Rescorer(host, sources, print_warning)
    rescored: list[Rescored] = []
    mistakes: list[str] = []
    # A cell that failed or is not applicable has no predictions.
    predicted = [record for record in records if record.scores]
    for record in ProgressBar("cell").wrap(predicted, "rescore"):
        # The other cells are scored all the same.
        try:
            rescored.append(
                rescorer.rescore(folder, record, arguments.protocols, arguments.alphas, arguments.threshold)
            )
        except UserError as error:
            mistakes.append(str(error))
        except BenchError as error:
            damaged.append(str(error))
            print_warnings([str(error)])
    if not (rescored or mistakes or damaged):
        raise UserError(f"no cell in {folder} has predictions to score")
    lacking, failed = _lines(rescored)
    if lacking and not any(item.scored for item in rescored):
        raise SeveralErrors(f"{line}; choose another --threshold" for line in lacking)
    print_warnings((*lacking, *failed))
    tables = _tables(host, rescored, arguments.alphas, folder, sources)
    if tables:
        output.write(render_tables(tables, output.format, is_file=output.path is not None))
    if mistakes:
        # Cells of one missing dataset have the same problem: it is said once.
        raise SeveralErrors(dict.fromkeys(mistakes))
    if not rescored:
        # Nothing to show; the reasons are above.
        return 2
    return int(bool(damaged or failed))


def _lines(rescored: Sequence[Rescored]) -> tuple[list[str], list[str]]:
    """Lines on the measures asked for: those that a cell's dataset lacks, and those that some pairs lack."""
    lacking: list[str] = []
    failed: list[str] = []
    for record, protocols in rescored:
        for protocol in protocols:
            reason = record.not_applicable.get(protocol)
            if reason:
                lacking.append(f"{record.cell.id}: protocol {protocol} is not applicable: {reason}")
            failures = [failure for failure in record.failures if failure.protocol == protocol]
            if failures:
                first = failures[0]
                failed.append(
                    f"{record.cell.id}: {failed_pairs(len(failures))} under protocol {protocol}; "
                    f"pair {first.pair_id}: {first.error}"
                )
    return lacking, failed


def _tables(
    host: Host, rescored: Sequence[Rescored], alphas: Sequence[float] | None, folder: Path, sources: Sources
) -> list[Table]:
    """A table for each protocol that was asked for: numbers of two protocols cannot be compared."""
    from harness.tables.leaderboard import leaderboard
    from harness.tables.view import View, own_averaging

    protocols: dict[str, None] = {}
    for item in rescored:
        protocols |= dict.fromkeys(item.scored)
    records = [item.record for item in rescored]
    folder_of = cell_folders(folder)
    tables = []
    for name in protocols:
        averaging = own_averaging(records, name, host.protocols)
        # As 'bench leaderboard' does; predictions that cannot be read are told already.
        view, _ = with_places(host, View(name, averaging, alphas), folder_of, sources)
        tables.append(leaderboard(records, with_seed_intervals(host, view, folder_of, sources)))
    return tables
