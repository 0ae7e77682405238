"""`bench`: a thin layer over the harness, one file per family of commands."""

from __future__ import annotations

import errno
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any, NoReturn

import click

from harness.cli.anywhere import parse_anywhere, show_anywhere_options, suggested_options
from harness.cli.debugging import is_debugging, print_traceback
from harness.cli.examples import examples
from harness.cli.streams import OutputLost, ReaderGone, discard, prepare_streams
from harness.cli.terminal import wants_colours
from harness.cli.verbosity import showing
from harness.errors import BenchError, NotWritten, SeveralErrors, UserError
from harness.imports import claim_process
from harness.interrupts import (
    Interrupted,
    check_interrupt,
    ending_on_signals,
    leave_on_signals,
    received_signal,
)
from harness.messages import cut, one_line, printable
from harness.plugins.host import Host
from harness.plugins.loading import load_plugins

_COMMANDS = {
    "run": "harness.cli.run:run",
    "list": "harness.cli.listing:list_",
    "plugins": "harness.cli.listing:plugins",
    "doctor": "harness.cli.doctor:doctor",
    "match": "harness.cli.match:match",
    "leaderboard": "harness.cli.leaderboard:leaderboard",
    "compare": "harness.cli.compare:compare",
    "rescore": "harness.cli.rescore:rescore",
    "report": "harness.cli.report:report",
    "merge": "harness.cli.merge:merge",
    "clean": "harness.cli.clean:clean",
    "cite": "harness.cli.cite:cite",
    "show": "harness.cli.show:show",
    "train": "harness.cli.train:train",
    "data": "harness.cli.data:data",
    "weights": "harness.cli.weights:weights",
    "new-plugin": "harness.cli.new_plugin:new_plugin",
}
"""Command -> its function, as `module:name`. The module is imported when the command is called."""


_PIPE = 128 + signal.SIGPIPE

_MACHINE = frozenset(
    (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.ESTALE)
    + (errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM)
)
"""Errors of the disk or the machine, which the user can mend."""

_WRONG_NAMES = (errno.ENAMETOOLONG, errno.ELOOP)
"""Errors of a path that no file can have: wherever it is first looked at, the user has typed it."""


class _Bench(click.Group):
    """The commands above and those that plugins add."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*_COMMANDS, *_host(ctx).commands})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _COMMANDS:
            module, _, name = _COMMANDS[cmd_name].partition(":")
            command: click.Command | Callable[[Host], click.Command] = getattr(import_module(module), name)
            # One whose options come from plugins is made for those that are loaded.
            return command if isinstance(command, click.Command) else command(_host(ctx))
        commands = _host(ctx).commands
        # An unknown name gives None: click then answers with its own message.
        if cmd_name not in commands:
            return None
        try:
            plugin_command: click.Command = commands[cmd_name].make()
        except Exception as error:  # noqa: BLE001 - a plugin's code; the help lists all commands
            return _broken_command(cmd_name, error)
        return plugin_command

    def make_context(self, *arguments: Any, **options: Any) -> click.Context:
        with _as_interruption():
            return super().make_context(*arguments, **options)

    def invoke(self, ctx: click.Context) -> object:
        with _as_interruption():
            return super().invoke(ctx)


@contextmanager
def _as_interruption() -> Iterator[None]:
    """Passes an interrupt through click, which would print an empty line for it."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise _Interruption from error


class _Interruption(BaseException):
    """Ctrl-C, or another signal, has ended a command."""


def _broken_command(name: str, error: Exception) -> click.Command:
    """A command in the place of one that its plugin cannot make: it says why."""
    problem = one_line(error)

    def refuse(words: Sequence[str]) -> None:
        del words
        raise BenchError(f"command '{name}' cannot be made: {problem}") from error

    words = click.Argument(["words"], nargs=-1, type=click.UNPROCESSED)
    settings = {"ignore_unknown_options": True}
    short_help = printable(f"Cannot be made: {problem}")
    return click.Command(name, settings, refuse, [words], short_help=short_help, add_help_option=False)


def _host(ctx: click.Context) -> Host:
    host = ctx.find_object(Host)
    if host is None:
        raise click.ClickException("the plugin host is missing; start bench through harness.cli.main")
    return host


@click.group(
    cls=_Bench,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples(
        "bench run --methods position,hog --limit 60",
        "bench leaderboard results",
        "bench run --help",
        note="The options above can stand anywhere on the command line.",
    ),
)
@show_anywhere_options
@click.version_option(package_name="correspondence-bench", prog_name="bench")
def bench() -> None:
    """Measure semantic correspondence: any feature extractor on every dataset, in comparable tables."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs `bench` and exits: 0 done, 1 a cell failed, 2 the user's mistake, described in one line.

    A signal that asks it to end does so with 128 and the signal's number, as shells count.
    """
    if arguments is None:
        arguments = sys.argv[1:]
        claim_process()
    try:
        with ending_on_signals():
            prepare_streams()
            code = status(arguments)
        leave_on_signals()
    except KeyboardInterrupt as error:  # while an error was being printed, or the work was begun or left
        code = _print_interrupted(error.number if isinstance(error, Interrupted) else None)
    sys.exit(code)


def status(arguments: Sequence[str]) -> int:
    """Runs `bench` and returns its exit status."""
    with ending_on_signals():
        return _catch_errors(lambda: _run(arguments))


def _run(arguments: Sequence[str]) -> int:
    # Before anything is loaded: a blocked plugin is not even imported.
    options = parse_anywhere(arguments)
    is_debugging.set(options.is_debugging)
    with showing(options.verbosity):
        host = load_plugins(blocked=options.blocked)
        result = bench.main(
            args=list(options.remaining),
            prog_name="bench",
            standalone_mode=False,
            obj=host,
            color=wants_colours(),
        )
    # Commands that cannot fail return None, which means success.
    if isinstance(result, int):
        return result
    return 0


def _catch_errors(action: Callable[[], int]) -> int:
    """Returns the action's exit status. An error for the user becomes one line on stderr and a status."""
    try:
        with _naming_wrong_names():
            return _end_if_interrupted(action)
    except click.ClickException as error:
        return _print_usage(error)
    except (NotWritten, OutputLost) as error:
        # The work was begun: what is done is kept, and this is no mistake in the command.
        return _print_error(f"bench: {error}", 1)
    except BenchError as error:
        if is_debugging.get():
            print_traceback(_traceback(error))
        return _print_error(_error_lines(error), 2)
    except (click.Abort, KeyboardInterrupt, _Interruption):
        return _print_interrupted()
    except (BrokenPipeError, ReaderGone):
        # The reader of our output has closed it. Without this, Python complains once more when it exits.
        discard(sys.stdout)
        return _PIPE


def _end_if_interrupted(action: Callable[[], int]) -> int:
    """Returns the action's exit status. Raises `Interrupted` where a signal was lost on the way."""
    try:
        code = action()
    except NotWritten:
        raise
    except Exception:
        # Libraries make errors of their own of an interruption, and one that ends leaves others in disorder.
        check_interrupt()
        raise
    # Of a callback or a `__del__`. Who sent it does not expect a success.
    check_interrupt()
    return code


def _print_interrupted(number: signal.Signals | None = None) -> int:
    number = number or received_signal() or signal.SIGINT
    reason = "interrupted" if number == signal.SIGINT else f"ended by {number.name}"
    return _print_error(f"bench: {reason}; the same command goes on where it stopped", 128 + number)


@contextmanager
def _naming_wrong_names() -> Iterator[None]:
    """Makes the user's mistake of the system's error about a name that no file can have.

    An error of a disk or of the machine is one line as well, wherever it comes from. Any other error of the
    system that arrives here is a defect of this program, and shows its traceback.
    """
    try:
        yield
    except NotWritten:
        raise
    except OSError as error:
        if error.errno in _MACHINE:
            raise NotWritten(error.errno, error.strerror or "", str(error.filename or "a file")) from error
        if error.errno not in _WRONG_NAMES or not error.filename:
            raise
        name = f"{error.filename!s:.100}"
        raise UserError(f"{name}: {error.strerror}; name another file or folder") from error


def _print_usage(error: click.ClickException) -> int:
    """Prints a mistake in the command line as one line, and the help where a command is given alone."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        # `bench` or `bench data` is a question and not a mistake.
        click.echo(error.ctx.get_help())
        return 0
    command = "bench"
    if isinstance(error, click.UsageError) and error.ctx:
        command = error.ctx.command_path
    if isinstance(error, click.NoSuchOption):
        error = click.NoSuchOption(error.option_name, possibilities=suggested_options(error), ctx=error.ctx)
    # click lists the choices of an option on several lines.
    message = " ".join(error.format_message().split())
    return _print_error(f"{command}: {message} ('{command} --help' tells more)", error.exit_code or 2)


def _traceback(error: BenchError) -> str:
    from harness.isolation.origin import traceback_of

    return traceback_of(error)


def _error_lines(error: BenchError) -> str:
    lines: Sequence[str] = (str(error),)
    if isinstance(error, SeveralErrors):
        lines = error.lines
    # Names and values of others are in them, some with line breaks.
    return "\n".join(f"bench: {printable(cut(line))}" for line in lines)


def _print_error(line: str, code: int) -> int:
    click.echo("\n".join(printable(cut(part)) for part in line.split("\n")), err=True)
    return code
