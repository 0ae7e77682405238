"""`bench show`: one page of text on a method, a dataset or anything else that a plugin brings."""

from __future__ import annotations

import json
from pathlib import Path

import click

from harness.cli.examples import examples
from harness.cli.option_names import option
from harness.cli.options import data_root, weights_root
from harness.cli.terminal import print_warning
from harness.messages import listed, printable
from harness.plugins.host import Host

_KINDS = ("method", "dataset", "extractor", "prompt", "matcher", "localizer", "protocol", "weights")


@click.command(
    "show",
    short_help="One page on a method, a dataset or another name.",
    epilog=examples("bench show dift", "bench show spair-71k", "bench show hog --kind extractor --json"),
)
@click.argument("name")
@option(
    "--kind",
    type=click.Choice(_KINDS),
    help="What the name stands for, where several have it; the first of these otherwise.",
)
@option("--json", "as_json", is_flag=True, help="A JSON object.")
@data_root
@weights_root
@click.pass_obj
def show(
    host: Host, name: str, kind: str | None, as_json: bool, data_root: Path, weights_root: Path | None
) -> None:
    """Show one page on a method, dataset, extractor, prompt, matcher, localizer, protocol or weights.

    Of a method: its recipe, parameters with defaults, the weights it needs with their sizes and whether
    they are there, in what it differs from its paper, the numbers that papers print for it, how to cite it
    and how to run it.
    """
    from harness.cards.show import kinds_of
    from harness.cards.show import show as make_card

    card = make_card(host, name, kind, data_root, weights_root)
    if as_json:
        click.echo(json.dumps(card.fields, indent=1, ensure_ascii=False))
        return
    click.echo("\n".join(map(printable, card.render().split("\n"))))
    others = kinds_of(host, name)[1:]
    if others and kind is None:
        nouns = listed([_with_article(other) for other in others])
        print_warning(f"{name} is the name of {nouns} as well: --kind shows it")


def _with_article(noun: str) -> str:
    if noun == "weights":
        return "a weight source"
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"
