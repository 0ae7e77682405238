"""`bench data`: lists datasets on this machine, downloads them, checks and exports them."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.completion import names_of
from harness.cli.data_lists import pairs, parse_choices, prepare
from harness.cli.examples import examples
from harness.cli.option_names import option
from harness.cli.options import CommaList, data_root
from harness.cli.progress import ProgressBar
from harness.cli.terminal import print_warnings
from harness.cli.verbosity import print_information
from harness.errors import UserError
from harness.messages import bytes_text, listed, shell_word
from harness.plugins.host import Host
from harness.specs import DatasetSpec
from harness.sweep import DatasetChoice

if TYPE_CHECKING:
    from harness.datasets.presence import Presence
    from harness.datasets.verify import SplitReport
    from harness.downloads.files import FetchedFile

SHOWN_FAULTS = 10
"""Faults of a split that are printed; --json has all."""

EXPORTED = "shapes"
"""The only dataset that is made by this package, and so the only one that may be written out."""

COUNTS = ("pairs", "images", "keypoints")


@click.group("data")
def data() -> None:
    """List, download, prepare, check and export datasets."""


data.add_command(prepare)
data.add_command(pairs)


@data.command(
    "list",
    short_help="Datasets, and where each is expected.",
    epilog=examples(
        "bench data list",
    ),
)
@data_root
@option("--json", "as_json", is_flag=True, help="A JSON list of objects.")
@click.pass_obj
def list_(host: Host, data_root: Path, as_json: bool) -> None:
    """List datasets with their official numbers, where each is expected and whether it is there.

    A picture may have several names: the 100 of PF-WILLOW are 70 pictures.
    """
    from harness.datasets.presence import dataset_presence
    from harness.datasets.splits import dataset_folder

    datasets = []
    for spec in host.datasets.values():
        folder = dataset_folder(spec, DatasetChoice(spec.name), data_root)
        datasets.append((spec, folder, dataset_presence(spec, folder)))
    if as_json:
        objects = [_fields(*dataset) for dataset in datasets]
        click.echo(json.dumps(objects, indent=1, ensure_ascii=False))
        return
    from tabulate import tabulate

    rows: list[tuple[str, ...]] = []
    for spec, folder, presence in datasets:
        rows += _rows(spec, folder, presence)
    header = ("dataset", "split", "pairs", "image names", "keypoints", "state", "size", "place")
    # Numbers are texts already, with commas and dashes that tabulate must not read.
    table = tabulate(rows, header, tablefmt="plain", colalign=_ALIGNMENT, disable_numparse=True)
    click.echo(table)


_ALIGNMENT = ("left", "left", "right", "right", "right", "left", "right", "left")


def _rows(spec: DatasetSpec, folder: Path, presence: Presence) -> list[tuple[str, ...]]:
    """One row for each split. The first has what holds for the dataset."""
    if presence.state == "bundled":
        path = ""
    elif spec.home:
        path = str(folder)
    else:
        # The user's own datasets have no home below the data root: their path is given at each run.
        path = f"{spec.name}=PATH"
    rows = []
    for number, split in enumerate(spec.splits):
        numbers = _count_texts(spec.counts.get(split, {}))
        if number == 0:
            rows.append(
                (spec.name, split, *numbers, presence.state, _size_text(spec, folder, presence), path)
            )
        else:
            rows.append(("", split, *numbers, "", "", ""))
    return rows


def _size_text(spec: DatasetSpec, folder: Path, presence: Presence) -> str:
    """Size on disk of what is there; about what a fetch brings of what is not, where it is known."""
    if presence.state == "absent":
        return f"about {bytes_text(spec.download_bytes)} to fetch" if spec.download_bytes else "–"
    return bytes_text(_size_on_disk(folder)) if spec.home else ""


def _size_on_disk(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _count_texts(counts: Mapping[str, int]) -> list[str]:
    """The official numbers of a split, with a dash for each that is not known."""
    texts = []
    for kind in COUNTS:
        if kind in counts:
            texts.append(f"{counts[kind]:,}")
        else:
            texts.append("–")
    return texts


def _fields(spec: DatasetSpec, folder: Path, presence: Presence) -> dict[str, object]:
    """A dataset as `--json` prints it."""
    # Plain dictionaries, which JSON can hold, of any kind of mapping.
    counts = {split: dict(numbers) for split, numbers in spec.counts.items()}
    path = str(folder) if spec.home else None
    return {
        "name": spec.name,
        "splits": list(spec.splits),
        "counts": counts,
        "place": path,
        "state": presence.state,
        "missing": list(presence.missing),
        "size": _size_on_disk(folder) if spec.home and presence.state != "absent" else None,
        "download_bytes": spec.download_bytes,
        "files": [file.url for file in spec.files],
        "description": spec.description,
    }


@data.command(
    "verify",
    short_help="Check pairs, pictures and numbers.",
    epilog=examples(
        "bench data verify",
        "bench data verify pf-willow --data-root data",
    ),
)
@click.argument("names", nargs=-1, metavar="[NAME | NAME=PATH]...", shell_complete=names_of("datasets"))
@option("--split", help="Only this split; all of them otherwise.")
@option("--json", "as_json", is_flag=True, help="A JSON list of objects, with every fault.")
@data_root
@click.pass_obj
def verify(host: Host, names: tuple[str, ...], split: str | None, as_json: bool, data_root: Path) -> int:
    """Read every pair and decode every picture, and compare the numbers with the official ones.

    Without names: all datasets that are there. Exit status 1 if anything is missing or damaged, or a
    number differs. What can be read and does not look right is a warning, which changes no exit status.
    """
    from harness.datasets.splits import dataset_folder
    from harness.datasets.verify import verify_dataset as examine

    choices = parse_choices(host, names)
    if not choices:
        choices = _datasets_at_hand(host, data_root)
    # Every name is checked before the first dataset is read, which takes minutes.
    datasets = []
    for spec, choice in choices:
        datasets.append((spec, dataset_folder(spec, choice, data_root), _splits(spec, split)))
    reports: list[tuple[DatasetSpec, SplitReport]] = []
    absent: list[UserError] = []
    for spec, folder, splits in datasets:
        progress = partial(ProgressBar("image").wrap, title=spec.name)
        try:
            split_reports = examine(spec, folder, splits, progress)
        except UserError as error:
            # A dataset that is not there must not keep the others from being checked.
            absent.append(error)
            continue
        for report in split_reports:
            reports.append((spec, report))
        if not as_json:
            _show(spec, split_reports)
    if as_json:
        objects = [_plain(spec, report) for spec, report in reports]
        click.echo(json.dumps(objects, indent=1, ensure_ascii=False))
    # The last one is printed by the program's own handling of errors, which sets the exit status, too.
    for missing in absent[:-1]:
        click.echo(f"bench: {missing}", err=True)
    if absent:
        raise absent[-1]
    return int(not all(report.is_whole for _, report in reports))


def _datasets_at_hand(host: Host, data_root: Path) -> list[tuple[DatasetSpec, DatasetChoice]]:
    from harness.datasets.presence import dataset_presence
    from harness.datasets.splits import dataset_folder

    at_hand = []
    for spec in host.datasets.values():
        choice = DatasetChoice(spec.name)
        folder = dataset_folder(spec, choice, data_root)
        if dataset_presence(spec, folder).state != "absent":
            at_hand.append((spec, choice))
    if not at_hand:
        raise UserError(
            f"no dataset is in {data_root}; 'bench data fetch NAME' downloads one, "
            "'bench data list' shows their names"
        )
    return at_hand


def _splits(spec: DatasetSpec, split: str | None) -> tuple[str, ...]:
    if split is None:
        return spec.splits
    if split not in spec.splits:
        raise UserError(f"dataset {spec.name} has no split '{split}'; it has {', '.join(spec.splits)}")
    return (split,)


def _show(spec: DatasetSpec, reports: Sequence[SplitReport]) -> None:
    from harness.datasets.verify import count_text

    for report in reports:
        title = f"{report.label} {report.split}"
        if report.same_as:
            click.echo(f"{title}: the same as {report.same_as}")
            continue
        counts = [count_text(kind, number) for kind, number in report.found.items()]
        if report.unreadable:
            counts.insert(1, f"{report.unreadable:,} of them unreadable")
        numbers = ", ".join(counts) or "not read"
        if report.sample is not None:
            numbers += f"; {report.sample} of the images drawn, to see that they can be"
        verdict = "ok" if report.is_whole else "incomplete or changed"
        click.echo(f"{title}: {verdict} ({numbers})")
        for fault in [*report.deviations, *report.faults[:SHOWN_FAULTS]]:
            click.echo(f"  {fault}")
        more = len(report.faults) - SHOWN_FAULTS
        if more > 0:
            click.echo(f"  and {more:,} more; --json has all")
        for warning in report.warnings:
            click.echo(f"  warning: {warning}")


def _plain(spec: DatasetSpec, report: SplitReport) -> dict[str, object]:
    return {
        "dataset": spec.name,
        **dataclasses.asdict(report),
        "deviations": list(report.deviations),
        "whole": report.is_whole,
    }


@data.command(
    "fetch",
    epilog=examples(
        "bench data fetch pf-willow",
        "bench data fetch spair-71k --data-root data",
    ),
)
@click.argument(
    "names", nargs=-1, required=True, metavar="NAME | NAME=PATH ...", shell_complete=names_of("datasets")
)
@option("--keep-archives", is_flag=True, help="Leave archives in place once they are unpacked.")
@data_root
@click.pass_obj
def fetch(host: Host, names: tuple[str, ...], keep_archives: bool, data_root: Path) -> None:
    """Download datasets from their authors' addresses.

    Files that are there are not fetched again, and a broken download goes on where it stopped. An archive
    that you have put in its place yourself is used as it is.
    """
    from harness.datasets.fetch import fetch_dataset as get
    from harness.datasets.splits import dataset_folder

    for spec, choice in parse_choices(host, names):
        folder = dataset_folder(spec, choice, data_root)
        with ProgressBar("B") as bar:
            for file in get(spec, folder, bar.show, keep_archives=keep_archives):
                # A line printed beside the bar would be garbled by it.
                bar.close()
                click.echo(f"{spec.name}: {_describe_file(file)}")
                print_warnings(file.notes)
    print_information(f"'bench data verify {' '.join(map(shell_word, names))}' checks every picture")


def _describe_file(file: FetchedFile) -> str:
    if file.how == "there":
        return f"{file.path} is already there"
    verb = "downloaded" if file.how == "downloaded" else "found in place"
    note = "; not the same file as at an earlier fetch" if file.changed else ""
    return f"{file.path} {verb}, {file.size:,} bytes, sha256 {file.sha256}{note}"


@data.command(
    "pictures",
    short_help="Names of a split's pictures, as CSV.",
    epilog=examples(
        "bench data pictures shapes",
        "bench data pictures pf-pascal --split val --data-root data",
    ),
)
@click.argument("name", metavar="NAME | NAME=PATH", shell_complete=names_of("datasets"))
@option("--split", help="Its split; the default one otherwise.")
@data_root
@click.pass_obj
def pictures(host: Host, name: str, split: str | None, data_root: Path) -> int:
    """List the pictures of a split as CSV, with an empty column for a text.

    Filled in, the list is a file for --prompts captions=FILE. A picture with several names is there once,
    under the first. Exit status 1 if pictures are left out, because they are missing or their pairs damaged.
    """
    from harness.datasets.listing import left_out_lines, picture_rows
    from harness.datasets.splits import dataset_folder, read_split

    ((spec, choice),) = parse_choices(host, [name])
    (wanted,) = _splits(spec, split or spec.splits[0])
    index = read_split(spec, dataset_folder(spec, choice, data_root), wanted)
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(("picture", "text", "category", "hash", "file"))
    writer.writerows(picture_rows(index))
    left_out = left_out_lines(index)
    print_warnings(left_out)
    click.echo(lines.getvalue(), nl=False)
    return int(bool(left_out))


@data.command(
    "export",
    short_help="Write the bundled dataset as files.",
    epilog=examples(
        "bench data export shapes shapes-files --splits test",
    ),
)
@click.argument("name", shell_complete=names_of("datasets"))
@click.argument("folder", type=click.Path(path_type=Path))
@option("--splits", type=CommaList(), metavar="A,B", help="Splits to write; all of them otherwise.")
@option(
    "--whole-pixels",
    is_flag=True,
    help="Round points and boxes to whole pixels, for programs that use them as indices.",
)
@option(
    "--voc-only",
    is_flag=True,
    help="Leave out categories that SPair-71k does not have, for programs with a fixed list of names.",
)
@click.pass_obj
def export(
    host: Host,
    name: str,
    folder: Path,
    splits: tuple[str, ...] | None,
    whole_pixels: bool,
    voc_only: bool,
) -> None:
    """Write the bundled dataset as SPair-71k is laid out, into an empty or new folder.

    An export that was interrupted is completed by the same command.
    """
    spec = host.datasets[name]
    if name != EXPORTED:
        raise UserError(
            f"dataset {name} cannot be exported, only {EXPORTED} can: the others are files already"
        )
    checked_splits: list[str] = []
    for split in splits or spec.splits:
        checked_splits += _splits(spec, split)
    wanted = tuple(dict.fromkeys(checked_splits))
    from harness.datasets.shapes.export import FOREIGN_CATEGORIES, ExportOptions
    from harness.datasets.shapes.export import export as write

    options = ExportOptions(wanted, whole_pixels, voc_only)
    write(folder, options, partial(ProgressBar("image").wrap, title=name))
    click.echo(f"{name} {', '.join(wanted)} written to {folder}")
    if not voc_only:
        click.echo(
            f"{listed(FOREIGN_CATEGORIES)} are no categories of SPair-71k: programs with a fixed list of "
            "names stop at them; --voc-only leaves them out"
        )
