"""Where a table goes: to stdout, or to a file whose ending says its form."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from harness.cli.option_names import option
from harness.cli.options import Command
from harness.cli.terminal import stdout_format
from harness.cli.verbosity import print_information
from harness.errors import UserError
from harness.files import check_place, put_file
from harness.tables.table import Format

_FORMAT_OF: Mapping[str, Format] = {
    ".txt": "text",
    ".md": "md",
    ".csv": "csv",
    ".tex": "tex",
    ".html": "html",
    ".json": "json",
}
"""Ending of a file -> the form of the table in it."""


def out_option(endings: str) -> Callable[[Command], Command]:
    """Makes the option `--out`, None where the table is printed."""
    return option(
        "-o",
        "--out",
        old=("--output",),
        type=click.Path(path_type=Path, allow_dash=True),
        metavar="FILE",
        help=f"Write to this file instead, whole or not at all; its ending says the form: {endings}.",
    )


@dataclass(frozen=True)
class TableOutput:
    """The form of a table, and its file; no file for stdout."""

    format: Format
    path: Path | None

    def write(self, text: str) -> None:
        """Prints the table, or writes its file whole and says on stderr where it is. Raises `UserError`."""
        if self.path is None:
            click.echo(text, nl=False)
            return
        write_file(self.path, text)
        print_information(f"the table is in {self.path}")


def write_file(path: Path, text: str) -> None:
    """Puts a file of text in place, whole or not at all. Raises `UserError`."""
    put_file(path, text.encode())


def choose_output(asked: Format | None, out: Path | None, formats: Sequence[Format]) -> TableOutput:
    """The form and the file of a command's table, checked before the work begins.

    Args:
        asked: of `--format`.
        formats: those that the command has.

    Raises:
        UserError: the file's ending says no form, or another one than `--format`, or it cannot be written.
    """
    if out is None or str(out) == "-":
        return TableOutput(asked or stdout_format(), None)
    of_ending = _FORMAT_OF.get(out.suffix.casefold())
    if asked and of_ending not in (None, asked):
        raise UserError(f"-o {out}: its ending says {of_ending}, and --format {asked}; leave one of them out")
    format = asked or of_ending
    if format is None or format not in formats:
        endings = ", ".join(ending for ending, each in _FORMAT_OF.items() if each in formats)
        problem = "its ending says no form of a table" if format is None else f"no table here is {format}"
        raise UserError(f"-o {out}: {problem}; take one of {endings}, or say --format")
    check_place(out)
    return TableOutput(format, out)
