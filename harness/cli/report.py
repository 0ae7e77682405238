"""`bench report`: a results folder as one page."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from harness.cli.options import CommaList, data_root, number_range
from harness.cli.terminal import print_warnings
from harness.plugins.host import Host
from harness.records.folders import read_results


@click.command("report")
@click.argument("folder", type=click.Path(path_type=Path), default=Path("results"))
@click.option(
    "-o",
    "--output",
    "out",
    type=click.Path(path_type=Path),
    default=Path("report.html"),
    show_default=True,
    help="The page; takes the place of one of that name.",
)
@click.option("--title", help="The page's heading; the folder's name otherwise.")
@click.option("--protocol", help="The page's protocol; sd4match where records have it.")
@click.option("--averaging", type=click.Choice(["image", "point"]), default="image", show_default=True)
@click.option("--alphas", type=CommaList(number_range), metavar="A,B", help="Only these thresholds.")
@click.option("--localizers", type=CommaList(), metavar="A,B", help="Only these localizers.")
@click.option("--reported", is_flag=True, help="Beside the measured numbers, marked, what papers printed.")
@click.option(
    "--datasets",
    type=CommaList(),
    metavar="NAME=PATH",
    help="Places of datasets that are not below --data-root.",
)
@data_root
@click.pass_obj
def report(
    host: Host,
    folder: Path,
    out: Path,
    title: str | None,
    protocol: str | None,
    averaging: Literal["image", "point"],
    alphas: tuple[float, ...] | None,
    localizers: tuple[str, ...] | None,
    reported: bool,
    datasets: tuple[str, ...] | None,
    data_root: Path,
) -> int:
    """One self-contained page of a results folder: tables, charts, and pairs with their points.

    The page needs no network and no other file. Pairs are shown where the dataset is at hand.
    """
    from harness.files import check_place
    from harness.report.page import make_page, write_page
    from harness.scoring.rescore import Rescorer
    from harness.tables.reported import read_reported
    from harness.tables.view import View, choose_protocol

    check_place(out)
    records, damaged = read_results(folder)
    print_warnings(damaged)
    printed = read_reported() if reported else None
    view = View(choose_protocol(records, protocol), averaging, alphas, localizers, reported=printed)
    view.check(records)
    rescorer = Rescorer(host, data_root, datasets or ())
    page = make_page(records, damaged, folder, view, title, host, rescorer)
    write_page(page, out)
    print_warnings((*page.absent, *page.damaged))
    click.echo(str(out))
    return int(bool(damaged or page.damaged))
