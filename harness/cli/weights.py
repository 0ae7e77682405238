"""`bench weights`: lists, checks, downloads and finds the weights of backbones."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.completion import names_of
from harness.cli.examples import examples
from harness.cli.option_names import option
from harness.cli.options import weights_root
from harness.cli.progress import ProgressBar
from harness.cli.terminal import print_warnings
from harness.errors import SeveralErrors, UserError
from harness.files import with_home
from harness.plugins.host import Host
from harness.specs import WeightSource
from harness.weights.pins import pin_of

if TYPE_CHECKING:
    from harness.weights.fetch import FetchedWeights
    from harness.weights.presence import WeightPresence
    from harness.weights.verify import WeightReport


@click.group("weights")
def weights() -> None:
    """List, check, download and find the weights of backbones."""


@weights.command(
    "list",
    short_help="Sources, and where each is.",
    epilog=examples(
        "bench weights list",
    ),
)
@weights_root
@option("--json", "as_json", is_flag=True, help="A JSON list of objects.")
@click.pass_obj
def list_(host: Host, weights_root: Path | None, as_json: bool) -> None:
    """List weight sources, where they come from, and whether they are on this machine.

    Repositories that were fetched by their own name follow them.

    The size is that of the files that are there; of others about what a fetch brings, where it is known.
    Pinned by hash are weights whose hashes are known; 'no' stands for whatever its publisher has there.
    """
    from harness.weights.presence import weight_presence
    from harness.weights.repositories import fetched_repositories

    states = []
    for source in [*host.weight_sources.values(), *fetched_repositories(host, weights_root)]:
        states.append((source, weight_presence(source, weights_root)))
    if as_json:
        objects = [_fields(source, state) for source, state in states]
        click.echo(json.dumps(objects, indent=1, ensure_ascii=False))
        return
    from tabulate import tabulate

    from harness.weights.places import weights_root as resolved_root

    rows = []
    for source, state in states:
        origin = state.origin or _addresses(source)
        rows.append(
            (
                source.name,
                state.state,
                state.size_text,
                pin_of(source),
                source.stand_in or "",
                origin,
                _location(state),
            )
        )
    header = ("source", "state", "size", "pinned", "with tiny", "from", "place")
    alignment = ("left", "left", "right", "left", "left", "left", "left")
    # Every field is a text already; tabulate must not read one as a number.
    table = tabulate(rows, header, tablefmt="plain", colalign=alignment, disable_numparse=True)
    click.echo(table)
    click.echo(f"\n'bench weights fetch SOURCE' puts it into {resolved_root(weights_root) / 'SOURCE'}")


def _fields(source: WeightSource, state: WeightPresence) -> dict[str, object]:
    """A source as `--json` prints it."""
    # A source is one file or a folder of several.
    files = list(source.files)
    if not files and source.file:
        files = [source.file]
    path = str(state.path) if state.path else None
    return {
        "name": source.name,
        "state": state.state,
        "place": path,
        "size": state.size,
        "download_bytes": state.download,
        "origin": state.origin or None,
        "mirrors": list(source.mirrors),
        "urls": [file.url for file in source.downloads],
        "files": files,
        "sha256": dict(source.sha256),
        "pinned": pin_of(source),
        "stand_in": source.stand_in,
        "advice": source.advice,
        "reason": state.reason,
        "description": source.description,
    }


def _location(state: WeightPresence) -> str:
    return "" if state.state == "absent" else str(state.path)


def _addresses(source: WeightSource) -> str:
    addresses = list(source.mirrors)
    for file in source.downloads:
        addresses.append(file.url)
    return ", ".join(addresses)


@weights.command(
    "verify",
    short_help="Compare every file's hash.",
    epilog=examples(
        "bench weights verify",
        "bench weights verify dinov2-base",
    ),
)
@click.argument("names", nargs=-1, metavar="[NAME | NAME=PATH]...", shell_complete=names_of("weight_sources"))
@option("--json", "as_json", is_flag=True, help="A JSON list of objects.")
@weights_root
@click.pass_obj
def verify(host: Host, names: tuple[str, ...], as_json: bool, weights_root: Path | None) -> int:
    """Read every file, and compare its hash with what was fetched and with what was published.

    Without names: all sources that are there. Exit status 1 where a file is missing or changed.
    """
    from harness.weights.places import WeightLocation, snapshot_in
    from harness.weights.repositories import fetched_repositories, source_named
    from harness.weights.verify import find_partial_weights, verify_weights

    reports: list[WeightReport] = []
    absent: list[str] = []
    fetched = [source.name for source in fetched_repositories(host, weights_root)]
    for text in names or [*sorted(host.weight_sources), *fetched]:
        name, has_path, path = text.partition("=")
        source = source_named(host, name)
        own_path = with_home(path)
        if has_path and not own_path.exists():
            raise UserError(f"weights {name}: {path} does not exist")
        try:
            own = WeightLocation(snapshot_in(source, own_path), "own")
            place = own if has_path else find_partial_weights(source, weights_root)
        except UserError as error:
            absent.append(str(error))
            continue
        reports.append(verify_weights(source, place))
        if not as_json:
            _show(reports[-1])
    if as_json:
        objects = []
        for report in reports:
            # `asdict` has the fields alone; `is_whole` is a property.
            objects.append({**dataclasses.asdict(report), "whole": report.is_whole})
        click.echo(json.dumps(objects, indent=1, ensure_ascii=False))
    # Without names, a source that is not there is not a fault, unless all of them are absent.
    if absent and (names or not reports):
        raise SeveralErrors(absent)
    return int(not all(report.is_whole for report in reports))


def _show(report: WeightReport) -> None:
    # A file may be right by both hashes; the published one says more.
    fetched = set(report.recorded) - set(report.published)
    kinds = {
        "as published": report.published,
        "as fetched": fetched,
        "without a known hash": report.unknown,
    }
    counts = []
    for kind, files in kinds.items():
        if files:
            counts.append(f"{len(files)} {kind}")
    summary = ", ".join(counts) or "no file is right"
    verdict = "ok" if report.is_whole else "incomplete or changed"
    click.echo(f"{report.source}: {verdict} ({summary}), {report.origin or report.place}")
    for name in report.missing:
        click.echo(f"  {name}: missing")
    for fault in report.changed:
        click.echo(f"  {fault}")


@weights.command(
    "fetch",
    epilog=examples(
        "bench weights fetch dinov2-base",
        "bench weights fetch stable-diffusion-2-1 dinov2-base",
        "bench weights fetch facebook/dinov2-small",
    ),
)
@click.argument(
    "names",
    nargs=-1,
    required=True,
    metavar="NAME | OWNER/NAME[@REVISION]...",
    shell_complete=names_of("weight_sources"),
)
@option(
    "--from",
    "repository",
    metavar="OWNER/NAME[@REVISION]",
    help="A repository of the hub to use instead of the known ones.",
)
@weights_root
@click.pass_obj
def fetch(host: Host, names: tuple[str, ...], repository: str | None, weights_root: Path | None) -> None:
    """Download weights from the first mirror that has them.

    A repository of the hub, OWNER/NAME or OWNER/NAME@REVISION, is fetched for the methods that take a network
    by name (--set model=OWNER/NAME): its configuration and its tensors, in one format.

    Files that are there are not fetched again, and a broken download goes on where it stopped. Repository,
    commit and hashes are recorded beside the files. HF_ENDPOINT and HF_TOKEN are used.
    """
    from harness.weights.fetch import fetch_weights as get
    from harness.weights.repositories import mirrors_to_ask, source_named

    sources = {name: source_named(host, name) for name in names}
    if repository and len(sources) > 1:
        raise UserError("--from is for one source at a time")
    if repository and names[0] not in host.weight_sources:
        raise UserError(f"--from {repository}: {names[0]} is a repository itself; give one of the two")
    failed: list[str] = []
    for name, source in sources.items():
        mirrors: tuple[str, ...] = (repository,) if repository else ()
        if name not in host.weight_sources:
            mirrors = mirrors_to_ask(source, name, weights_root)
        # The bar is gone before the line about its result is printed.
        with ProgressBar("B") as bar:
            try:
                result = get(source, weights_root, bar.show, mirrors)
            except UserError as error:
                failed.append(str(error))
                continue
        click.echo(_describe_result(source, result))
        print_warnings(result.remarks)
    if failed:
        raise SeveralErrors(failed)


def _describe_result(source: WeightSource, result: FetchedWeights) -> str:
    verb = "fetched to" if result.new else "is already at"
    text = f"{source.name}: {verb} {result.path}"
    if result.record:
        text += f", from {result.record.origin}"
    # Mirrors that did not have the weights.
    if result.notes:
        text += f" (passed over: {'; '.join(result.notes)})"
    return text


@weights.command(
    "path",
    epilog=examples(
        "bench weights path dinov2-base",
    ),
)
@click.argument("name", shell_complete=names_of("weight_sources"))
@weights_root
@click.pass_obj
def path(host: Host, name: str, weights_root: Path | None) -> None:
    """Print the path of a source on this machine, for scripts."""
    from harness.weights.content import files_at
    from harness.weights.places import find_weights
    from harness.weights.repositories import source_named

    source = source_named(host, name)
    folder = find_weights(source, weights_root).path
    files_at(source, folder)  # raises where a file is missing
    click.echo(folder)
