"""`bench doctor`: a method's contract, checked; or the installation, as a text for a report of a fault."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli import options
from harness.cli.completion import names_of
from harness.cli.debugging import print_traceback
from harness.cli.examples import examples
from harness.cli.option_names import option
from harness.cli.progress import waiting
from harness.errors import UserError
from harness.plugins.host import Host

if TYPE_CHECKING:
    from harness.doctor.entries import Entry, Section
    from harness.doctor.examine import Circumstances
    from harness.doctor.findings import Finding
    from harness.weights.choice import WeightChoice

_MARKS = {"": " ", "ok": "✓", "failed": "✗", "skipped": "–", "warned": "!"}


@dataclasses.dataclass(frozen=True)
class DoctorArguments:
    """Options of `bench doctor`, named as they are on the command line."""

    name: str | None
    weights: tuple[str, ...]
    weights_root: Path | None
    device: str
    localizer: str | None
    data_root: Path
    out: Path | None
    cache: Path | None
    time_limit: float
    as_json: bool


@click.command(
    "doctor",
    short_help="Check the installation, or a plugin's contract.",
    epilog=examples(
        "bench doctor",
        "bench doctor dift",
    ),
)
@click.argument("name", required=False, shell_complete=names_of("methods"))
@options.weights
@option("--device", default="auto", show_default=True, help="Torch device; auto takes a GPU if there is one.")
@option("--localizer", metavar="NAME", help="Localizer to check; the method's own otherwise.")
@options.data_root
@option(
    "--results",
    "out",
    old=("--out",),
    type=click.Path(path_type=Path),
    help="Without NAME: results folder to look at, results/ if left out.",
)
@option(
    "--cache-dir",
    "cache",
    old=("--cache",),
    type=click.Path(path_type=Path),
    help="Without NAME: cache folder to look at.",
)
@option(
    "--time-limit",
    type=options.seconds,
    default="600",
    show_default=True,
    metavar="SECONDS",
    help="With NAME: longest that one check may take.",
)
@option("--json", "as_json", is_flag=True, help="The same as JSON.")
@options.typed_arguments(DoctorArguments)
def doctor(host: Host, arguments: DoctorArguments) -> int:
    """Check the contract of a method or another plugin; without NAME, the installation.

    With NAME, on the bundled pictures: shapes, layout, frame, scope, determinism, the localizer's grid, and
    an image against itself; of a matcher its matches, of a localizer its grid and its predictions, of a
    prompt its values, of a dataset (NAME=PATH where it lies elsewhere) its pairs and pictures, of a protocol
    its threshold. The checks are made in a process of their own: one that hangs, or ends the process, is
    named.

    Without: versions, this machine, environment variables, folders and caches, plugins, weights, datasets,
    and which methods would run. That text is meant for reports of faults: home folders are written as ~, and
    secrets are not shown. Nothing is computed, written or fetched.

    ✗ is a fault, ! a weakness that stops nothing, – what is not there or does not apply. Exit status 1 where
    there is a fault.
    """
    from harness.weights.choice import WeightChoice

    choice = WeightChoice.parse(host, arguments.weights, arguments.weights_root)
    if arguments.name is None:
        return _look_over(host, arguments, choice)
    if arguments.out or arguments.cache:
        flag = "--results" if arguments.out else "--cache-dir"
        raise UserError(f"{flag}: is looked at without NAME; leave {arguments.name} or {flag} out")
    from harness.doctor.examine import Circumstances

    circumstances = Circumstances(arguments.device, choice, arguments.localizer, arguments.data_root)
    subject, findings = _examine(host, arguments.name, circumstances, arguments.time_limit)
    for finding in findings:
        print_traceback(finding.traceback)
    if arguments.as_json:
        _print_json([dataclasses.asdict(finding) for finding in findings])
    else:
        _print_findings(subject, findings)
    return int(any(finding.result == "failed" for finding in findings))


def _examine(
    host: Host, name: str, circumstances: Circumstances, seconds: float
) -> tuple[str, Sequence[Finding]]:
    """What is examined, and what is found, whatever the plugin's code does to the process."""
    from harness.doctor.apart import can_be_copied, examining
    from harness.doctor.examine import examine

    if not can_be_copied():
        with waiting(f"doctor {name}"):
            subject, stream = examine(host, name, circumstances)
            return subject, list(stream)
    # Copied before there is a bar, whose thread may hold what the copy needs.
    with examining(host, name, circumstances, seconds) as examination, waiting(f"doctor {name}"):
        findings = list(examination.findings(seconds))
    return examination.subject, findings


def _print_findings(subject: str, findings: Sequence[Finding]) -> None:
    from tabulate import tabulate

    rows = [(_MARKS[finding.result], finding.check, finding.detail) for finding in findings]
    click.echo(tabulate(rows, ("", subject, "detail"), tablefmt="pipe", disable_numparse=True))


def _look_over(host: Host, arguments: DoctorArguments, choice: WeightChoice) -> int:
    """Prints the text about the installation. Returns 1 where something failed."""
    from harness.doctor.installation import InstallationRequest, examine_installation
    from harness.doctor.storage import Folders

    if arguments.localizer:
        raise UserError("--localizer: is checked with a method; give NAME, too ('bench list methods')")
    folders = Folders(
        arguments.out or Path("results"), arguments.data_root, arguments.cache, arguments.weights_root
    )
    sections = list(examine_installation(host, InstallationRequest(folders, arguments.device, choice)))
    if arguments.as_json:
        _print_json({section.title: list(map(dataclasses.asdict, section.entries)) for section in sections})
    else:
        click.echo("\n\n".join(map(_section_text, sections)))
    entries = [entry for section in sections for entry in section.entries]
    return int(any(entry.result == "failed" for entry in entries))


def _section_text(section: Section) -> str:
    """A title, and a line for each entry: mark, name and detail in columns."""
    width = max((len(entry.name) for entry in section.entries), default=0)
    lines = [_line(entry, width) for entry in section.entries]
    return "\n".join([section.title, *(lines or ["    none"])])


def _line(entry: Entry, width: int) -> str:
    remedy = f"; {entry.remedy}" if entry.remedy else ""
    return f"  {_MARKS[entry.result]} {entry.name.ljust(width)}  {entry.detail}{remedy}".rstrip()


def _print_json(value: object) -> None:
    click.echo(json.dumps(value, indent=1, ensure_ascii=False))
