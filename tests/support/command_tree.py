"""Every command of `bench`, those of groups and of the plugins that come with it."""

from __future__ import annotations

from collections.abc import Iterator

import click

from harness.cli import bench
from harness.plugins.loading import load_plugins


def root_context() -> click.Context:
    """Context of `bench` with the plugins that come with it."""
    return click.Context(bench, info_name="bench", obj=load_plugins(points=[]))


def commands(context: click.Context | None = None) -> Iterator[tuple[str, click.Context]]:
    """Yields every command, groups too: `bench data fetch` and a context of it."""
    context = context or root_context()
    yield context.command_path, context
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            inner = context.command.get_command(context, name)
            assert inner is not None
            yield from commands(click.Context(inner, info_name=name, parent=context))
