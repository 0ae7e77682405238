"""`bench doctor`: checks that a method keeps the contract."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli import options
from harness.cli.debugging import print_traceback
from harness.plugins.host import Host

if TYPE_CHECKING:
    from harness.doctor import Finding

_MARKS = {"ok": "✓", "failed": "✗", "skipped": "–", "warned": "!"}


@click.command("doctor")
@click.argument("method", required=False)
@options.weights
@click.option(
    "--device", default="auto", show_default=True, help="Torch device; auto takes a GPU if there is one."
)
@click.option("--localizer", metavar="NAME", help="Localizer to check; the method's own otherwise.")
@options.data_root
@click.pass_obj
def doctor(
    host: Host,
    method: str | None,
    weights: tuple[str, ...],
    weights_root: Path | None,
    device: str,
    localizer: str | None,
    data_root: Path,
) -> int:
    """Check a method's contract on the bundled pictures; without METHOD, the installation.

    Shapes, layout, frame, scope, determinism, the localizer's grid, and an image against itself. ✗ is a
    fault, ! a weakness that stops nothing, – what does not apply.
    """
    if method is None:
        from harness.doctor import examine_installation

        return _print_findings(
            "installation", list(examine_installation(host, device, data_root, weights_root))
        )
    from harness.doctor import examine_method
    from harness.environment import device_name
    from harness.running.resources import Resources, RunOptions
    from harness.specs import NO_PROMPT, MakeContext
    from harness.weights.choice import WeightChoice
    from harness.weights.learned import find_learned_file, prompt_weight_names

    recipe = host.methods[method]
    extractor = host.extractors[recipe.extractor]
    torch_device = device_name(device)
    choice = WeightChoice.parse(host, weights, weights_root)
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
    return _print_findings(recipe.name, list(examine_method(host, recipe.name, pairs, context, localizer)))


def _print_findings(subject: str, findings: Sequence[Finding]) -> int:
    """Prints a table of findings. Returns 1 where something failed."""
    from tabulate import tabulate

    rows = []
    for finding in findings:
        rows.append((_MARKS[finding.result], finding.check, finding.detail))
        print_traceback(finding.traceback)
    click.echo(tabulate(rows, ("", subject, "detail"), tablefmt="pipe", disable_numparse=True))
    return int(any(finding.result == "failed" for finding in findings))
