"""`bench list` and `bench plugins`: names and descriptions. Neither imports torch or pandas."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import click

from harness.cli.examples import examples
from harness.errors import UserError
from harness.messages import printable
from harness.plugins.host import Host
from harness.running.parameters import parameters_of
from harness.specs import MethodSpec

KINDS = ("methods", "datasets", "prompts", "matchers", "localizers", "protocols", "reported")


@click.command(
    "list",
    short_help="List methods, datasets, prompts and all other names.",
    epilog=examples(
        "bench list methods",
        "bench list datasets --json",
    ),
)
@click.argument("kind", type=click.Choice(KINDS), required=False)
@click.option("--json", "as_json", is_flag=True, help="JSON: a list of objects; without KIND one for each.")
@click.pass_obj
def list_(host: Host, kind: str | None, as_json: bool) -> None:
    """List methods, datasets, prompts, matchers, localizers, protocols, reported numbers; or all of them."""
    kinds = (kind,) if kind else KINDS
    rows = {each: [_fields(host, each, name) for name in getattr(host, each)] for each in kinds}
    if as_json:
        click.echo(json.dumps(rows[kind] if kind else rows, indent=1, ensure_ascii=False))
        return
    for number, each in enumerate(kinds):
        if not kind:
            click.echo(f"\n{each}" if number else each)
        columns = [(str(row["name"]), str(row["description"])) for row in rows[each]]
        _print_columns(columns, indent="" if kind else "  ")


@click.command(
    "plugins",
    epilog=examples(
        "bench plugins",
    ),
)
@click.option("--json", "as_json", is_flag=True, help="A JSON list of objects.")
@click.pass_obj
def plugins(host: Host, as_json: bool) -> None:
    """List plugins, and whether each is loaded."""
    if as_json:
        objects = [dataclasses.asdict(plugin) for plugin in host.plugins]
        for fields in objects:
            # For loading the plugin in another process; the printed fields are a promise to users.
            del fields["source"]
        click.echo(json.dumps(objects, indent=1, ensure_ascii=False))
        return
    rows = []
    for plugin in host.plugins:
        package = f"{plugin.distribution} {plugin.version}"
        rows.append((plugin.name, package, plugin.status, plugin.reason or ", ".join(plugin.hooks)))
    _print_columns(rows)


def _fields(host: Host, kind: str, name: str) -> dict[str, object]:
    """Fields of a record that JSON can hold: its functions are left out."""
    # Not `[name]`, which refuses a name that two plugins offer.
    spec = getattr(host, kind).get(name)
    plain = _plain_fields(spec)
    if kind == "methods":
        plain["parameters"] = _parameters(host, spec)
    if kind == "datasets":
        plain["files"] = [file.url for file in spec.files]
    plain["plugin"] = host.registries[f"bench_{kind}"].origin(name).name
    return plain


def _parameters(host: Host, method: MethodSpec) -> dict[str, dict[str, object]]:
    """Parameters that --set can change: the default of each in the method's recipe, and its description."""
    try:
        known = parameters_of(host, method)
    except UserError:  # of a plugin that failed, or of two plugins
        return {}
    defaults = {**known.params, **method.params}
    parameters: dict[str, dict[str, object]] = {}
    for name, default in defaults.items():
        description = known.param_help.get(name, "")
        parameters[name] = {"default": _plain(default), "description": description}
    return parameters


def _plain_fields(record: Any) -> dict[str, object]:
    """Fields of a record as JSON has them, without its functions."""
    # Not dataclasses.asdict, which copies every value, functions and modules among them.
    fields: dict[str, object] = {}
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        if not callable(value):
            fields[field.name] = _plain(value)
    return fields


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value):
        return _plain_fields(value)
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, str | int | float | bool | None):
        return value
    # By way of JSON: tuples and what they hold become lists, paths become texts.
    return json.loads(json.dumps(value, default=str))


def _print_columns(rows: Sequence[Sequence[str]], indent: str = "") -> None:
    # Descriptions are a plugin's own.
    rows = [[printable(text) for text in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        texts = [text.ljust(width) for text, width in zip(row, widths, strict=True)]
        click.echo(f"{indent}{'  '.join(texts)}".rstrip())
