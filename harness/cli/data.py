"""`bench data`: lists datasets on this machine, downloads them, checks and exports them."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.options import CommaList, data_root
from harness.cli.progress import ProgressBar
from harness.errors import UserError
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
    """List, download, check and export datasets."""


@data.command("list", short_help="Datasets, and where each is expected.")
@data_root
@click.option("--json", "as_json", is_flag=True, help="A JSON list of objects.")
@click.pass_obj
def list_(host: Host, data_root: Path, as_json: bool) -> None:
    """List datasets with their official numbers, where each is expected and whether it is there."""
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

    rows = itertools.chain.from_iterable(_rows(*dataset) for dataset in datasets)
    click.echo(
        tabulate(
            rows,
            ("dataset", "split", *COUNTS, "state", "place"),
            tablefmt="plain",
            colalign=_ALIGNED,
            disable_numparse=True,
        )
    )


_ALIGNED = ("left", "left", "right", "right", "right", "left", "left")


def _rows(spec: DatasetSpec, folder: Path, presence: Presence) -> list[tuple[str, ...]]:
    """One row for each split. The first has what holds for the dataset."""
    path = str(folder) if spec.home else f"{spec.name}=PATH"
    if presence.state == "bundled":
        path = ""
    rows = []
    for number, split in enumerate(spec.splits):
        counts = spec.counts.get(split, {})
        numbers = [f"{counts[kind]:,}" if kind in counts else "–" for kind in COUNTS]
        if number == 0:
            rows.append((spec.name, split, *numbers, presence.state, path))
        else:
            rows.append(("", split, *numbers, "", ""))
    return rows


def _fields(spec: DatasetSpec, folder: Path, presence: Presence) -> dict[str, object]:
    """A dataset as `--json` prints it."""
    return {
        "name": spec.name,
        "splits": list(spec.splits),
        "counts": {split: dict(counts) for split, counts in spec.counts.items()},
        "place": str(folder) if spec.home else None,
        "state": presence.state,
        "missing": list(presence.missing),
        "files": [file.url for file in spec.files],
        "description": spec.description,
    }


@data.command("verify", short_help="Check pairs, pictures and numbers.")
@click.argument("names", nargs=-1, metavar="[NAME | NAME=PATH]...")
@click.option("--split", help="Only this split; all of them otherwise.")
@click.option("--json", "as_json", is_flag=True, help="A JSON list of objects, with every fault.")
@data_root
@click.pass_obj
def verify(host: Host, names: tuple[str, ...], split: str | None, as_json: bool, data_root: Path) -> int:
    """Read every pair and decode every picture, and compare the numbers with the official ones.

    Without names: all datasets that are there. Exit status 1 if anything is missing or damaged, or a
    number differs.
    """
    from harness.datasets.splits import dataset_folder
    from harness.datasets.verify import verify_dataset as examine

    choices = [(host.datasets[choice.name], choice) for choice in map(DatasetChoice.parse, names)]
    if not choices:
        choices = _datasets_at_hand(host, data_root)
    datasets = []
    for spec, choice in choices:
        datasets.append((spec, dataset_folder(spec, choice, data_root), _splits(spec, split)))
    reports: list[tuple[DatasetSpec, SplitReport]] = []
    absent: list[UserError] = []
    for spec, folder, splits in datasets:
        try:
            checked = examine(spec, folder, splits, partial(ProgressBar("image").wrap, title=spec.name))
        except UserError as error:
            absent.append(error)
            continue
        reports.extend((spec, report) for report in checked)
        if not as_json:
            _show(spec, checked)
    if as_json:
        click.echo(
            json.dumps([_plain(spec, report) for spec, report in reports], indent=1, ensure_ascii=False)
        )
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
        if dataset_presence(spec, dataset_folder(spec, choice, data_root)).state != "absent":
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
    for report in reports:
        title = f"{report.label} {report.split}"
        if report.same_as:
            click.echo(f"{title}: the same as {report.same_as}")
            continue
        numbers = ", ".join(f"{number:,} {kind}" for kind, number in report.found.items())
        verdict = "ok" if report.is_whole else "not whole"
        click.echo(f"{title}: {verdict} ({numbers or 'not read'})")
        for fault in [*report.deviations, *report.faults[:SHOWN_FAULTS]]:
            click.echo(f"  {fault}")
        if len(report.faults) > SHOWN_FAULTS:
            click.echo(f"  and {len(report.faults) - SHOWN_FAULTS:,} more; --json has all")


def _plain(spec: DatasetSpec, report: SplitReport) -> dict[str, object]:
    return {
        "dataset": spec.name,
        **dataclasses.asdict(report),
        "deviations": list(report.deviations),
        "whole": report.is_whole,
    }


@data.command("fetch")
@click.argument("names", nargs=-1, required=True, metavar="NAME | NAME=PATH ...")
@click.option("--keep-archives", is_flag=True, help="Leave archives in place once they are unpacked.")
@data_root
@click.pass_obj
def fetch(host: Host, names: tuple[str, ...], keep_archives: bool, data_root: Path) -> None:
    """Download datasets from their authors' addresses.

    Files that are there are not fetched again, and a broken download goes on where it stopped. An archive
    that you have put in its place yourself is used as it is.
    """
    from harness.datasets.fetch import fetch_dataset as get
    from harness.datasets.splits import dataset_folder

    choices = [(host.datasets[choice.name], choice) for choice in map(DatasetChoice.parse, names)]
    for spec, choice in choices:
        with ProgressBar("B") as bar:
            for file in get(
                spec, dataset_folder(spec, choice, data_root), bar.show, keep_archives=keep_archives
            ):
                bar.close()
                click.echo(f"{spec.name}: {_describe_file(file)}")
    click.echo(f"'bench data verify {' '.join(names)}' checks every picture")


def _describe_file(file: FetchedFile) -> str:
    if file.how == "there":
        return f"{file.path} is already there"
    verb = "downloaded" if file.how == "downloaded" else "found in place"
    note = "; not the same file as at an earlier fetch" if file.changed else ""
    return f"{file.path} {verb}, {file.size:,} bytes, sha256 {file.sha256}{note}"


@data.command("export", short_help="Write the bundled dataset as files.")
@click.argument("name")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--split", "splits", type=CommaList(), metavar="A,B", help="Splits to write; all of them otherwise."
)
@click.pass_obj
def export(host: Host, name: str, folder: Path, splits: tuple[str, ...] | None) -> None:
    """Write the bundled dataset as picture files and lists, into an empty or new folder."""
    spec = host.datasets[name]
    if name != EXPORTED:
        raise UserError(
            f"dataset {name} cannot be exported, only {EXPORTED} can: the others are files already"
        )
    wanted = tuple(dict.fromkeys(name for split in splits or spec.splits for name in _splits(spec, split)))
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise UserError(f"{folder} is not an empty folder; name a new one")
    from harness.datasets.shapes.export import export as write

    write(folder, wanted, partial(ProgressBar("image").wrap, title=name))
    click.echo(f"{name} {', '.join(wanted)} written to {folder}")
