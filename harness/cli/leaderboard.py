"""`bench leaderboard`: the tables of results folders, from records alone."""

from __future__ import annotations

from dataclasses import replace

import click

from harness.api.leaderboard_tables import LeaderboardArguments, make_eval_results, make_leaderboard
from harness.cli.eval_files import check_eval_place, write_eval_documents
from harness.cli.examples import examples
from harness.cli.option_names import option
from harness.cli.options import (
    CommaList,
    DatasetList,
    averaging_option,
    data_root,
    number_range,
    results_folders,
    slice_option,
    typed_arguments,
)
from harness.cli.progress import waiting
from harness.cli.reported_option import ReportedCommand, reported_option
from harness.cli.table_files import choose_output, out_option
from harness.cli.terminal import print_warning
from harness.plugins.host import Host
from harness.tables.catalogue import CATALOGUE, KINDS
from harness.tables.table import FORMATS, render_tables

EVAL_RESULTS = "eval-results"
"""The format of rows for model hubs, which is no form of a table."""

_TABLE_HELP = "; ".join(f"{kind.name}: {kind.description}" for kind in KINDS)


@click.command(
    "leaderboard",
    cls=ReportedCommand,
    short_help="The tables of results folders.",
    epilog=examples(
        "bench leaderboard results",
        "bench leaderboard results --table per-category --alphas 0.1",
        "bench leaderboard results --table per-category --slice geometry-aware",
        "bench leaderboard results --format csv",
        "bench leaderboard results --columns method,spair-71k@0.10 -o table.tex",
        "bench leaderboard results --reported mine.csv",
        "bench leaderboard results --format eval-results -o cards",
    ),
)
@results_folders
@option(
    "--format",
    "format_",
    type=click.Choice((*FORMATS, EVAL_RESULTS)),
    help="text on a terminal and md elsewhere unless said; "
    "csv and json have all numbers, one a row, whatever the --table; eval-results: the model-index of a "
    "model card for each row, as YAML (-o FOLDER or FILE.yaml).",
)
@option(
    "--table",
    type=click.Choice(tuple(CATALOGUE)),
    default="overall",
    show_default=True,
    help=f"{_TABLE_HELP}.",
)
@option(
    "--by",
    "parameter",
    metavar="NAME",
    help="sweep: the parameter; the only one with several values otherwise.",
)
@option(
    "--columns",
    type=CommaList(),
    metavar="A,B",
    help="Only these columns, in this order: method,backbone,shapes@0.10,note; pck is all numbers, a dataset "
    "all of its thresholds. The caption says what notes and backbones that are left out would have said.",
)
@option("--protocol", help="The table's protocol; sd4match where records have it.")
@averaging_option("The protocol's own unless said; csv and json have all unless said.")
@option("--alphas", type=CommaList(number_range), metavar="A,B", help="Only these thresholds.")
@option("--localizers", type=CommaList(), metavar="A,B", help="Only these localizers.")
@slice_option
@reported_option
@option("--rank-reported", is_flag=True, help="The same, ranked among the measured rows.")
@option(
    "--places/--no-places",
    default=True,
    show_default=True,
    help="overall: places with intervals, by a test of all differences; else by value alone. "
    "Reads predictions; the dataset's annotations where their files are of an earlier version.",
)
@option("--ties/--no-ties", default=True, hidden=True, help="The name of before for --places.")
@option(
    "--datasets",
    type=DatasetList(),
    metavar="NAME,NAME=PATH",
    help="NAME: only this dataset, with places of its own. "
    "NAME=PATH: the folder of one that is not below --data-root; it chooses nothing.",
)
@out_option(".md .csv .tex .html .json .txt")
@data_root
@typed_arguments(LeaderboardArguments)
def leaderboard(host: Host, arguments: LeaderboardArguments) -> int:
    """The tables of a results folder, or of several together.

    A cell that several folders have is shown once; copies that differ are told, and not ranked.
    Best in bold and second underlined, per column and supervision group.
    """
    if arguments.format_ == "eval-results":
        return _export(host, arguments)
    output = choose_output(arguments.format_, arguments.out, FORMATS)
    with waiting("leaderboard"):
        made = make_leaderboard(host, replace(arguments, format_=output.format), print_warning)
    output.write(render_tables(made.tables, output.format, is_file=output.path is not None))
    # The tables are printed all the same; the status says that something is missing from them.
    return int(not made.is_complete)


def _export(host: Host, arguments: LeaderboardArguments) -> int:
    """Prints or writes the rows as model hubs publish them."""
    check_eval_place(arguments.out)
    with waiting("leaderboard"):
        made = make_eval_results(host, arguments, print_warning)
    write_eval_documents(made.documents, arguments.out)
    return int(not made.is_complete)
