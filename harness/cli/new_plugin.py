"""`bench new-plugin`: a small plugin of the user's own, to grow from."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.examples import examples
from harness.plugins.host import Host
from harness.scaffold.catalogue import KINDS


@click.command(
    "new-plugin",
    short_help="Begin a plugin of your own.",
    epilog=examples("bench new-plugin my-vit", "bench new-plugin my-birds --kind dataset"),
)
@click.argument("name")
@click.option(
    "--kind", type=click.Choice(list(KINDS)), default="extractor", show_default=True, help="What it brings."
)
@click.option(
    "-o",
    "--out",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="Folder of the plugin, new or empty; bench-NAME here if left out.",
)
@click.pass_obj
def new_plugin(host: Host, name: str, kind: str, out: Path | None) -> None:
    """Write a plugin that can be installed, with a test of its contract.

    NAME is what stands after --methods, --localizers, --prompts or --datasets: small letters, digits and
    dashes.
    """
    from harness.scaffold.writing import check_plugin_name, module_of, next_steps, write_plugin

    check_plugin_name(host, name)
    folder = out or Path(f"bench-{name}")
    write_plugin(kind, name, folder)
    click.echo(f"{folder}: {KINDS[kind].what} '{name}' in {module_of(name)}.py; next:\n")
    for step in next_steps(kind, name, folder):
        click.echo(f"  {step}")
