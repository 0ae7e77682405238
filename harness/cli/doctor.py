"""`bench doctor`: a method's contract, checked; or the installation, as a text for a report of a fault."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli import options
from harness.cli.debugging import print_traceback
from harness.errors import UserError
from harness.plugins.host import Host

if TYPE_CHECKING:
    from harness.doctor.checks import Finding
    from harness.doctor.entries import Entry, Section
    from harness.weights.choice import WeightChoice

_MARKS = {"": " ", "ok": "✓", "failed": "✗", "skipped": "–", "warned": "!"}


@dataclasses.dataclass(frozen=True)
class DoctorArguments:
    """Options of `bench doctor`, named as they are on the command line."""

    method: str | None
    weights: tuple[str, ...]
    weights_root: Path | None
    device: str
    localizer: str | None
    data_root: Path
    out: Path | None
    cache: Path | None
    as_json: bool


@click.command("doctor", short_help="Check the installation, or a method's contract.")
@click.argument("method", required=False)
@options.weights
@click.option(
    "--device", default="auto", show_default=True, help="Torch device; auto takes a GPU if there is one."
)
@click.option("--localizer", metavar="NAME", help="Localizer to check; the method's own otherwise.")
@options.data_root
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Without METHOD: results folder to look at, results/ if left out.",
)
@click.option("--cache", type=click.Path(path_type=Path), help="Without METHOD: cache folder to look at.")
@click.option("--json", "as_json", is_flag=True, help="The same as JSON.")
@options.typed_arguments(DoctorArguments)
def doctor(host: Host, arguments: DoctorArguments) -> int:
    """Check a method's contract on the bundled pictures; without METHOD, the installation.

    With METHOD: shapes, layout, frame, scope, determinism, the localizer's grid, and an image against itself.
    Without: versions, this machine, environment variables, folders and caches, plugins, weights, datasets,
    and which methods would run. That text is meant for reports of faults: home folders are written as ~, and
    secrets are not shown. Nothing is computed, written or fetched.

    ✗ is a fault, ! a weakness that stops nothing, – what is not there or does not apply. Exit status 1 where
    there is a fault.
    """
    from harness.weights.choice import WeightChoice

    choice = WeightChoice.parse(host, arguments.weights, arguments.weights_root)
    if arguments.method is None:
        return _look_over(host, arguments, choice)
    if arguments.out or arguments.cache:
        option = "--out" if arguments.out else "--cache"
        raise UserError(f"{option}: is looked at without METHOD; leave {arguments.method} or {option} out")
    findings = list(_examine(host, arguments, arguments.method, choice))
    for finding in findings:
        print_traceback(finding.traceback)
    if arguments.as_json:
        _print_json([dataclasses.asdict(finding) for finding in findings])
    else:
        _print_findings(host.methods[arguments.method].name, findings)
    return int(any(finding.result == "failed" for finding in findings))


def _examine(host: Host, arguments: DoctorArguments, method: str, choice: WeightChoice) -> Iterator[Finding]:
    """Makes every check of a method's contract."""
    from harness.doctor.checks import examine_method
    from harness.environment import device_name
    from harness.running.resources import Resources, RunOptions
    from harness.specs import NO_PROMPT, MakeContext
    from harness.weights.learned import find_learned_file, prompt_weight_names

    recipe = host.methods[method]
    extractor = host.extractors[recipe.extractor]
    torch_device = device_name(arguments.device)
    resources = Resources(
        host, RunOptions(data_root=Path(), out=Path(), criteria=(), device=torch_device, weights=choice)
    )
    prompt = learned = None
    source_names = list(extractor.weights)
    if recipe.prompt != NO_PROMPT:
        prompt = host.prompts[recipe.prompt]
        source_names += prompt_weight_names(prompt, None)
    sources = resources.weights(source_names)
    if prompt:
        learned = find_learned_file(prompt, sources)
    # Pictures that come with the package, and weights by default: the check needs no download.
    dataset = host.datasets["shapes"].open(Path(), "test")
    context = MakeContext(
        device=torch_device,
        params={**extractor.params, **recipe.params},
        weights={name: source.path for name, source in sources.items()},
        categories=("cat",),
        prompt_file=learned.path if learned else None,
    )
    # Two pairs far apart in the list: neighbours would share their category.
    pairs = [dataset[0], dataset[len(dataset) // 2]]
    return examine_method(host, recipe.name, pairs, context, arguments.localizer)


def _print_findings(subject: str, findings: Sequence[Finding]) -> None:
    from tabulate import tabulate

    rows = [(_MARKS[finding.result], finding.check, finding.detail) for finding in findings]
    click.echo(tabulate(rows, ("", subject, "detail"), tablefmt="pipe", disable_numparse=True))


def _look_over(host: Host, arguments: DoctorArguments, choice: WeightChoice) -> int:
    """Prints the text about the installation. Returns 1 where something failed."""
    from harness.doctor.installation import InstallationRequest, examine_installation
    from harness.doctor.storage import Folders

    if arguments.localizer:
        raise UserError("--localizer: is checked with a method; give METHOD, too ('bench list methods')")
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
