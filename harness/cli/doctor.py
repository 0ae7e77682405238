"""`bench doctor`: checks that a method keeps the contract."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli import options
from harness.plugins.host import Host

_MARKS = {"ok": "✓", "failed": "✗", "skipped": "–"}


@click.command("doctor")
@click.argument("method")
@options.weights
@click.option(
    "--device", default="auto", show_default=True, help="Torch device; auto takes a GPU if there is one."
)
@click.option("--localizer", metavar="NAME", help="Localizer to check; the method's own otherwise.")
@click.pass_obj
def doctor(
    host: Host,
    method: str,
    weights: tuple[str, ...],
    weights_root: Path | None,
    device: str,
    localizer: str | None,
) -> int:
    """Check a method's contract on the bundled pictures.

    Shapes, frame, scope, determinism, the localizer's grid, and an image against itself.
    """
    from tabulate import tabulate

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
    findings = list(examine_method(host, recipe.name, pairs, context, localizer))
    rows = []
    for finding in findings:
        rows.append((_MARKS[finding.result], finding.check, finding.detail))
    click.echo(tabulate(rows, ("", recipe.name, "detail"), tablefmt="pipe"))
    return int(any(finding.result == "failed" for finding in findings))
