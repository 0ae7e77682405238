"""`bench weights`: what weights there are on this machine, getting them, and whether they are the right ones."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from harness.cli.options import weights_root
from harness.cli.progress import ProgressBar
from harness.errors import BenchError, SeveralErrors, UserError
from harness.plugins.host import Host
from harness.specs import WeightSource

if TYPE_CHECKING:
    from harness.weights.fetch import FetchedWeights
    from harness.weights.verify import WeightReport


@click.group("weights")
def weights() -> None:
    """List, check, download and find the weights of backbones."""


# --------------------------------------------------------------------------------------------------------------------- list


@dataclasses.dataclass(frozen=True)
class _State:
    """Whether a source is there: `bundled` with a package, `fetched` by this program, in the Hugging Face's `hub-cache`, or not."""

    state: Literal["bundled", "fetched", "hub-cache", "partly", "absent"]
    place: Path | None
    size: int | None = None
    origin: str = ""
    reason: str = ""


@weights.command("list", short_help="What there is, and where.")
@weights_root
@click.option("--json", "as_json", is_flag=True, help="A JSON list of objects.")
@click.pass_obj
def list_(host: Host, weights_root: Path | None, as_json: bool) -> None:
    """Weight sources, where they come from, and whether they are on this machine."""
    found = [(spec, _state(spec, weights_root)) for spec in host.weight_sources.values()]
    if as_json:
        click.echo(json.dumps([_described(*one) for one in found], indent=1, ensure_ascii=False))
        return
    from tabulate import tabulate

    from harness.weights.places import weights_root as resolved_root

    rows = [
        (
            spec.name,
            state.state,
            _readable(state.size),
            spec.stand_in or "",
            state.origin or _whence(spec),
            _shown(state),
        )
        for spec, state in found
    ]
    header = ("source", "state", "size", "with tiny", "from", "place")
    click.echo(
        tabulate(
            rows,
            header,
            tablefmt="plain",
            colalign=("left", "left", "right", "left", "left", "left"),
            disable_numparse=True,
        )
    )
    click.echo(f"\n'bench weights fetch SOURCE' puts it into {resolved_root(weights_root) / 'SOURCE'}")


def _state(source: WeightSource, root: Path | None) -> _State:
    from harness.weights.content import select_files_in, used_files
    from harness.weights.places import find_weights, weights_folder

    try:
        place = find_weights(source, root)
        size = sum(file.stat().st_size for file in used_files(source, place.path).values())
    except Exception as error:  # noqa: BLE001 - a plugin's own locate may be anybody's code, and the others are to be listed
        reason = str(error) if isinstance(error, BenchError) else f"{type(error).__name__}: {error}"
        folder = weights_folder(source, root)
        there = () if source.locate else select_files_in(source, folder).files
        return _State(
            "partly" if there else "absent", None if source.locate else folder / source.file, reason=reason
        )
    return _State("bundled" if place.kind == "package" else place.kind, place.path, size, place.origin)  # type: ignore[arg-type]


def _described(source: WeightSource, state: _State) -> dict[str, object]:
    return {
        "name": source.name,
        "state": state.state,
        "place": str(state.place) if state.place else None,
        "size": state.size,
        "origin": state.origin or None,
        "mirrors": list(source.mirrors),
        "urls": [file.url for file in source.downloads],
        "files": list(source.files or ([source.file] if source.file else [])),
        "sha256": dict(source.sha256),
        "stand_in": source.stand_in,
        "advice": source.advice,
        "reason": state.reason,
        "description": source.description,
    }


def _shown(state: _State) -> str:
    return "" if state.state == "absent" else str(state.place)


def _whence(source: WeightSource) -> str:
    return ", ".join([*source.mirrors, *(file.url for file in source.downloads)])


def _readable(size: int | None) -> str:
    """Bytes, in the decimal units of disks and downloads."""
    if size is None:
        return "–"
    unit, scale = next(
        ((unit, scale) for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)) if size >= scale), ("B", 1)
    )
    return f"{size / scale:.3g} {unit}" if scale > 1 else f"{size} B"


# ------------------------------------------------------------------------------------------------------------------- verify


@weights.command("verify", short_help="Compare every file's hash.")
@click.argument("names", nargs=-1, metavar="[NAME | NAME=PATH]...")
@click.option("--json", "as_json", is_flag=True, help="A JSON list of objects.")
@weights_root
@click.pass_obj
def verify(host: Host, names: tuple[str, ...], as_json: bool, weights_root: Path | None) -> int:
    """Read every file, and compare its hash with what was fetched and with what was published.

    Without names: all sources that are there. Exit status 1 where a file is missing or changed.
    """
    from harness.weights.places import WeightLocation
    from harness.weights.verify import find_partial_weights, verify_weights

    reports: list[WeightReport] = []
    absent: list[str] = []
    for text in names or sorted(host.weight_sources):
        name, own, path = text.partition("=")
        source = host.weight_sources[name]
        if own and not Path(path).exists():
            raise UserError(f"weights {name}: {path} does not exist")
        try:
            place = WeightLocation(Path(path), "own") if own else find_partial_weights(source, weights_root)
        except UserError as error:
            absent.append(str(error))
            continue
        reports.append(verify_weights(source, place))
        if not as_json:
            _show(reports[-1])
    if as_json:
        click.echo(
            json.dumps(
                [{**dataclasses.asdict(one), "whole": one.whole} for one in reports],
                indent=1,
                ensure_ascii=False,
            )
        )
    if absent and (names or not reports):
        raise SeveralErrors(absent)
    return int(not all(report.whole for report in reports))


def _show(report: WeightReport) -> None:
    fetched = set(report.recorded) - set(report.published)
    found = [
        (report.published, "as published"),
        (fetched, "as fetched"),
        (report.unknown, "without a known hash"),
    ]
    counts = ", ".join(f"{len(files)} {what}" for files, what in found if files)
    click.echo(
        f"{report.source}: {'ok' if report.whole else 'not whole'} ({counts or 'no file is right'}), {report.origin or report.place}"
    )
    for name in report.missing:
        click.echo(f"  {name}: missing")
    for fault in report.changed:
        click.echo(f"  {fault}")


# -------------------------------------------------------------------------------------------------------------- fetch, path


@weights.command("fetch")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option(
    "--from",
    "repository",
    metavar="OWNER/NAME[@REVISION]",
    help="A repository of the hub to use instead of the known ones.",
)
@weights_root
@click.pass_obj
def fetch_weights(
    host: Host, names: tuple[str, ...], repository: str | None, weights_root: Path | None
) -> None:
    """Download weights from the first mirror that has them.

    What is there is not fetched again, and a broken download goes on where it stopped. Repository, commit and hashes are recorded beside
    the files. HF_ENDPOINT and HF_TOKEN are heeded.
    """
    from harness.weights.fetch import fetch_weights as get

    sources = [host.weight_sources[name] for name in names]
    if repository and len(sources) > 1:
        raise UserError("--from is for one source at a time")
    failed: list[str] = []
    for source in sources:
        with ProgressBar("B") as bar:
            try:
                done = get(source, weights_root, bar.show, (repository,) if repository else ())
            except UserError as error:
                failed.append(str(error))
                continue
        click.echo(_fate(source, done))
    if failed:
        raise SeveralErrors(failed)


def _fate(source: WeightSource, done: FetchedWeights) -> str:
    what = "fetched to" if done.new else "is already at"
    origin = f", from {done.record.origin}" if done.record else ""
    passed = f" (passed over: {'; '.join(done.notes)})" if done.notes else ""
    return f"{source.name}: {what} {done.path}{origin}{passed}"


@weights.command("path")
@click.argument("name")
@weights_root
@click.pass_obj
def path(host: Host, name: str, weights_root: Path | None) -> None:
    """Print where a source lies on this machine, for scripts."""
    from harness.weights.content import used_files
    from harness.weights.places import find_weights

    source = host.weight_sources[name]
    found = find_weights(source, weights_root).path
    used_files(source, found)
    click.echo(found)
