"""`--debug`: tracebacks on stderr, beside the one line that says what is wrong."""

from __future__ import annotations

from contextvars import ContextVar

import click

VARIABLE = "BENCH_DEBUG"
"""Environment variable that does the same."""

is_debugging: ContextVar[bool] = ContextVar("is_debugging", default=False)
"""Whether the command that runs was called with `--debug`."""


def print_traceback(text: str) -> None:
    """Prints a traceback to stderr where the user asked for them."""
    if is_debugging.get() and text:
        click.echo(text.rstrip(), err=True)
