"""`docs/reference/commands.md`: every command and option, from click's own objects."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator
from unittest import mock

import click

from harness.cli import bench
from harness.plugins.loading import load_plugins
from tools.reference.markdown import NOTE, code, plain, table

_INTRODUCTION = """# Commands

Every command of `bench` with its options, as `--help` shows them. Where an option has several names, any of
them may be given. `--quiet`, `--verbose`, `--debug` and `--no-plugin` go with
[every command](environment.md). Exit status: 0 done; 1 something failed, and the rest is there; 2 a mistake
in the command, told in one line.
"""


def commands_page() -> str:
    """Text of the page."""
    commands = list(_commands())
    rows = []
    for path, command, _ in commands:
        rows.append([f"[{code(path)}](#{_anchor(path)})", plain(command.get_short_help_str(limit=1000))])
    sections = [_section(path, command, context) for path, command, context in commands]
    return "\n".join([NOTE, _INTRODUCTION, table(["command", "what it does"], rows), *sections])


def _commands() -> Iterator[tuple[str, click.Command, click.Context]]:
    """Yields every command that can be called, with what is typed for it and a context for its texts."""
    # Only plugins that come with the package, whatever a machine has installed or blocks.
    with mock.patch.dict(os.environ, {"BENCH_BLOCK": ""}):
        host = load_plugins(points=[])
    yield from _below(bench, click.Context(bench, info_name="bench", obj=host))


def _below(group: click.Group, context: click.Context) -> Iterator[tuple[str, click.Command, click.Context]]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None or command.hidden:
            continue
        inner = click.Context(command, info_name=name, parent=context)
        if isinstance(command, click.Group):
            yield from _below(command, inner)
        else:
            yield inner.command_path, command, inner


def _section(path: str, command: click.Command, context: click.Context) -> str:
    """A command's usage, text and options."""
    usage = " ".join([path, *command.collect_usage_pieces(context)])
    parts = [f"## {code(path)}\n", code(usage) + "\n", _paragraphs(command.help or "")]
    rows = []
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        # Arguments have no record of their own: the command's text speaks of them.
        if isinstance(parameter, click.Option) and record is not None and "--help" not in parameter.opts:
            rows.append([code(record[0]), plain(parameter.help or ""), _extra(parameter, context)])
    if rows:
        parts.append(table(["option", "what it does", "default"], rows))
    if command.epilog:
        parts.append(_paragraphs(command.epilog))
    return "\n".join(parts)


def _extra(option: click.Option, context: click.Context) -> str:
    """Default and range of an option's values."""
    extra = option.get_help_extra(context)
    texts = []
    if "required" in extra:
        texts.append("required")
    if "default" in extra:
        texts.append(code(extra["default"]))
    if "range" in extra:
        texts.append(_range(extra["range"]))
    return ", ".join(texts) or "–"


def _range(text: str) -> str:
    """click's `x>=1` and `0<=x<=9` in the words of this page."""
    low, _, high = text.partition("<=x<=")
    return f"{low} to {high}" if high else text.replace("x>=", "at least ").replace("x<=", "at most ")


def _paragraphs(text: str) -> str:
    """A help text: paragraphs that click must not wrap (marked by `\\b`) are blocks, others are text."""
    written = []
    for paragraph in _cleaned(text).split("\n\n"):
        if paragraph.startswith("\b"):
            written.append(_block(paragraph.splitlines()[1:]))
        elif paragraph.strip():
            written.append(plain(paragraph) + "\n")
    return "\n".join(written)


def _cleaned(text: str) -> str:
    # A form feed ends the part of a docstring that is for users.
    return inspect.cleandoc(text).partition("\f")[0]


def _block(lines: list[str]) -> str:
    return "<!-- not run: an example of the help text -->\n```text\n" + "\n".join(lines) + "\n```\n"


def _anchor(path: str) -> str:
    return path.replace(" ", "-")
