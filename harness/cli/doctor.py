"""`bench doctor`: does a method keep the contract?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from harness.cli.options import weights
from harness.plugins.host import Host

_MARKS = {"ok": "✓", "failed": "✗", "skipped": "–"}


@click.command("doctor")
@click.argument("method")
@weights
@click.option("--device", default="cpu", show_default=True)
@click.pass_obj
def doctor(host: Host, /, **options: Any) -> int:
    """Check a method's contract on the bundled pictures: shapes, frame, scope, determinism, an image against itself."""
    from tabulate import tabulate

    from harness.doctor import Doctor
    from harness.environment import device_name
    from harness.running.resources import Resources, RunOptions
    from harness.specs import MakeContext
    from harness.sweep import NO_PROMPT
    from harness.weights.choice import WeightChoice

    method = host.methods[options["method"]]
    extractor = host.extractors[method.extractor]
    device = device_name(options["device"])
    choice = WeightChoice.parse(host, options["weights"], options["weights_root"])
    bench = Resources(
        host, RunOptions(data_root=Path(), out=Path(), criteria=(), device=device, weights=choice)
    )
    prompt = host.prompts[method.prompt] if method.prompt != NO_PROMPT else None
    learned = prompt.learned if prompt else None
    found = bench.weights(
        [*extractor.weights, *(prompt.weights if prompt else ()), *([learned.source] if learned else ())]
    )
    dataset = host.datasets["shapes"].open(Path(), "test")
    context = MakeContext(
        device=device,
        params={**extractor.params, **method.params},
        weights={name: one.path for name, one in found.items()},
        categories=("cat",),
        prompt_file=learned.find(found[learned.source].path, None).path if learned else None,
    )
    findings = list(Doctor(host, method.name, [dataset[0], dataset[len(dataset) // 2]], context).examine())
    rows = [(_MARKS[one.result], one.check, one.detail) for one in findings]
    click.echo(tabulate(rows, ("", f"{method.name}", "detail"), tablefmt="pipe"))
    return int(any(one.result == "failed" for one in findings))
