"""Options that every command takes, anywhere on the command line."""

from __future__ import annotations

import argparse
import difflib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from harness.cli.debugging import VARIABLE
from harness.cli.option_names import NamedOption
from harness.cli.verbosity import Verbosity
from harness.errors import UserError
from harness.plugins.host import Host

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True)
class AnywhereOptions:
    """The options that are taken off the command line before a command sees it.

    Attributes:
        blocked: plugins that are not loaded.
        remaining: the other words.
    """

    blocked: tuple[str, ...]
    is_debugging: bool
    verbosity: Verbosity
    remaining: tuple[str, ...]


def parse_anywhere(arguments: Sequence[str]) -> AnywhereOptions:
    """Takes the options off a command line. Raises `UserError` for those that are given wrongly."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, prog="bench", exit_on_error=False)
    parser.add_argument("--no-plugin", action="append", default=[], metavar="NAME")
    parser.add_argument("--debug", action="store_true")
    parser.add_argument("-q", "--quiet", action="store_true")
    parser.add_argument("-v", "--verbose", action="store_true")
    try:
        options, remaining = parser.parse_known_args(list(arguments))
    except argparse.ArgumentError as error:
        if error.argument_name == "--no-plugin":
            problem = f"--no-plugin: {error.message}; name a plugin that 'bench plugins' lists"
            raise UserError(problem) from error
        raise UserError(f"{error.argument_name} takes no value: {error.message}") from error
    if options.quiet and options.verbose:
        raise UserError("--quiet and --verbose contradict each other; give one of them")
    verbosity = Verbosity.NORMAL
    if options.quiet:
        verbosity = Verbosity.QUIET
    if options.verbose:
        verbosity = Verbosity.VERBOSE
    is_debugging = options.debug or os.environ.get(VARIABLE, "") not in ("", "0")
    return AnywhereOptions(tuple(options.no_plugin), is_debugging, verbosity, tuple(remaining))


_NAMES = ("--quiet", "--verbose", "--debug", "--no-plugin")


def suggested_options(error: click.NoSuchOption) -> list[str]:
    """The options that may have been meant: one of those here, or one of the command's that help shows."""
    if near := difflib.get_close_matches(error.option_name, _NAMES, cutoff=0.75):
        return near
    silent: list[str] = []
    for option in error.ctx.command.params if error.ctx else ():
        if isinstance(option, NamedOption):
            silent += option.silent
    return [name for name in error.possibilities or () if name not in silent]


def show_anywhere_options(command: Command) -> Command:
    """Shows the options in the help of `bench` and to the shell's completion."""
    flags = (
        (("--debug",), "Print the traceback of each error.  [env: BENCH_DEBUG=1]"),
        (("-v", "--verbose"), "Say each step: what is loaded, from where, and how long it takes."),
        (("-q", "--quiet"), "No progress and no information; only warnings and errors."),
    )
    for names, text in flags:
        command = click.option(*names, is_flag=True, expose_value=False, help=text)(command)
    return click.option(
        "--no-plugin",
        metavar="NAME",
        multiple=True,
        expose_value=False,
        shell_complete=_complete_plugins,
        help="Load without a plugin.  [env: BENCH_BLOCK=NAME,NAME]",
    )(command)


def _complete_plugins(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    host = ctx.find_object(Host)
    names = [plugin.name for plugin in host.plugins] if host else []
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]
