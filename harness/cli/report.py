"""`bench report`: a results folder as one page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.api.reported_choice import read_chosen
from harness.cli.examples import examples
from harness.cli.option_names import option
from harness.cli.options import (
    CommaList,
    averaging_option,
    data_root,
    dataset_folders,
    number_range,
    results_folders,
    typed_arguments,
)
from harness.cli.progress import waiting
from harness.cli.reported_option import ReportedCommand, reported_option
from harness.cli.terminal import print_warning, print_warnings
from harness.errors import UserError
from harness.plugins.host import Host
from harness.records.joining import read_folders

if TYPE_CHECKING:
    from harness.specs import Averaging

_ENDINGS = (".html", ".htm", "")


@dataclass(frozen=True, kw_only=True)
class ReportArguments:
    """Arguments and options of `bench report` after parsing; help texts say what each is for."""

    folders: tuple[Path, ...]
    out: Path
    title: str | None
    protocol: str | None
    averaging: Averaging | None
    alphas: tuple[float, ...] | None
    localizers: tuple[str, ...] | None
    reported: tuple[str, ...]
    datasets: tuple[str, ...] | None
    data_root: Path


@click.command(
    "report",
    cls=ReportedCommand,
    short_help="One page with tables, charts and pairs.",
    epilog=examples(
        "bench report results -o report.html",
        "bench report results --reported --title 'Four extractors'",
    ),
)
@results_folders
@option(
    "-o",
    "--out",
    old=("--output",),
    type=click.Path(path_type=Path),
    default=Path("report.html"),
    show_default=True,
    help="The page; takes the place of one of that name.",
)
@option("--title", help="The page's heading; the folders' names otherwise.")
@option("--protocol", help="The page's protocol; sd4match where records have it.")
@averaging_option("The protocol's own unless said.")
@option("--alphas", type=CommaList(number_range), metavar="A,B", help="Only these thresholds.")
@option("--localizers", type=CommaList(), metavar="A,B", help="Only these localizers.")
@reported_option
@dataset_folders
@data_root
@typed_arguments(ReportArguments)
def report(host: Host, arguments: ReportArguments) -> int:
    """One self-contained page of results folders: tables, charts, and pairs with their points.

    The page needs no network and no other file. Pairs are shown where the dataset is at hand.
    """
    from harness.files import check_place
    from harness.report.page import make_page, write_page
    from harness.scoring.sources import Sources
    from harness.tables.view import View, choose_averaging, choose_protocol

    # Before the work: a page that cannot be written is refused at once.
    check_place(arguments.out)
    if arguments.out.suffix.casefold() not in _ENDINGS:
        raise UserError(f"-o {arguments.out}: the page is HTML; call it {arguments.out.stem}.html")
    results = read_folders(arguments.folders)
    print_warnings(results.problems())
    records = results.records
    protocol = choose_protocol(records, arguments.protocol)
    view = View(
        protocol,
        choose_averaging(records, protocol, arguments.averaging, host.protocols),
        arguments.alphas,
        arguments.localizers,
        reported=read_chosen(host, arguments.reported, print_warning),
    )
    view.check(records)
    sources = Sources(host, arguments.data_root, arguments.datasets or ())
    with waiting("report"):
        page = make_page(results, view, arguments.title, host, sources)
    write_page(page, arguments.out)
    print_warnings((*page.absent, *page.damaged))
    click.echo(str(arguments.out))
    return int(bool(page.damaged) or not results.is_complete)
