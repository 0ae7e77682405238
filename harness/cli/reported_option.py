"""`--reported [FILE]`: an option whose value may be left out, before an argument that is a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from harness.api.reported_choice import ALL_KNOWN, ENDINGS
from harness.cli.options import Command

_NAME = "--reported"


def reported_option(command: Command) -> Command:
    """Adds --reported, as `reported`: texts as `read_chosen` takes them. Goes with `ReportedCommand`."""
    return click.option(
        _NAME,
        multiple=True,
        metavar="[FILE]",
        help="Beside them, marked, what papers printed, and how far the measured numbers are from it: all "
        "that is known here ('bench list reported'), a CSV of your own, or one set, --reported=NAME. "
        "Repeatable.",
    )(command)


class ReportedCommand(click.Command):
    """A command with `reported_option`.

    A word after `--reported` is its value where it ends as such files do, and a folder otherwise:
    `--reported results` means what it meant before there were files.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, attach_files(args))


def attach_files(words: Sequence[str]) -> list[str]:
    """The words of a command line with each value of --reported attached, as `--reported=FILE`."""
    attached: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            return [*attached, word, *rest]
        if word != _NAME:
            attached.append(word)
        elif rest and Path(rest[0]).suffix.casefold() in ENDINGS:
            attached.append(f"{_NAME}={rest.pop(0)}")
        else:
            attached.append(f"{_NAME}={ALL_KNOWN}")
    return attached
