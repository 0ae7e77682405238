"""`bench clean`: removes cells that nobody needs any more."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.examples import examples
from harness.cli.option_names import option
from harness.cli.options import typed_arguments
from harness.cli.terminal import print_warning, print_warnings
from harness.cli.verbosity import print_information
from harness.errors import BenchError
from harness.messages import OncePerSubject, bytes_text, counted, listed
from harness.plugins.host import Host

if TYPE_CHECKING:
    from harness.housekeeping.superseded import Superseded


@dataclass(frozen=True, kw_only=True)
class CleanArguments:
    """Arguments and options of `bench clean` after parsing; help texts say what each is for."""

    folder: Path
    old: bool
    failed: bool
    temporary: bool
    unfinished: bool
    damaged: bool
    yes: bool

    @property
    def categories(self) -> tuple[str, ...]:
        """The categories that were named; those that are safe to remove where none is."""
        from harness.housekeeping.superseded import CATEGORIES, SAFE

        return tuple(name for name in CATEGORIES if getattr(self, name)) or SAFE


@click.command(
    "clean",
    short_help="Remove what is superseded in a results folder.",
    epilog=examples("bench clean results", "bench clean results --old --yes"),
)
@click.argument("folder", type=click.Path(path_type=Path), default=Path("results"))
@option(
    "--old",
    is_flag=True,
    help="Cells of older code of a method, where the newest version has every one of their pairs.",
)
@option("--failed", is_flag=True, help="Cells that failed as a whole, without a prediction.")
@option("--temporary", is_flag=True, help="Files that killed commands left behind.")
@option(
    "--unfinished",
    is_flag=True,
    help="Work of runs that were interrupted, which the same 'bench run' would go on with.",
)
@option("--damaged", is_flag=True, help="Cells with a damaged record or damaged predictions, all they have.")
@option("-y", "--yes", is_flag=True, help="Remove without a question.")
@typed_arguments(CleanArguments)
def clean(host: Host, arguments: CleanArguments) -> int:
    """List what is superseded in a results folder, and remove it with --yes.

    Without a category: --old, --failed and --temporary; nothing in them was computed that stands nowhere
    else. Everything is listed. Cells that run, and files that no command wrote, are never touched. On a
    terminal it asks.
    """
    from harness.housekeeping.removing import remove
    from harness.housekeeping.superseded import find_superseded

    warn = OncePerSubject(print_warning)
    items, notes = find_superseded(arguments.folder, warn)
    print_warnings(notes)
    chosen = [item for item in items if item.category in arguments.categories]
    if items:
        click.echo(_table(items, chosen))
    if not chosen:
        print_information(f"{arguments.folder}: nothing to remove{_others(items)}")
        return 0
    amount = f"{counted(len(chosen), 'item')}, {bytes_text(sum(item.size for item in chosen))}"
    if not arguments.yes and not _is_confirmed(f"Remove {amount} from {arguments.folder}?"):
        print_information(f"nothing was removed; --yes removes {amount}")
        return 0
    problems = []
    for item in chosen:
        try:
            remove(item, warn)
        except BenchError as error:
            problems.append(str(error))
    print_warnings(problems)
    print_information(f"{counted(len(chosen) - len(problems), 'item')} removed from {arguments.folder}")
    return int(bool(problems))


def _is_confirmed(question: str) -> bool:
    """Asks on a terminal. Elsewhere the answer is no."""
    return sys.stdin.isatty() and sys.stdout.isatty() and click.confirm(question)


def _table(items: Sequence[Superseded], chosen: Sequence[Superseded]) -> str:
    """A row for each item; a star for those that are removed."""
    from tabulate import tabulate

    rows = []
    for item in items:
        mark = "*" if item in chosen else ""
        rows.append((mark, item.category, bytes_text(item.size), item.name, item.reason))
    header = ("", "what", "size", "cell or file", "why")
    alignment = ("left", "left", "right", "left", "left")
    # Texts as they are: tabulate would read some names as numbers.
    return tabulate(rows, header, tablefmt="plain", colalign=alignment, disable_numparse=True)


def _others(items: Sequence[Superseded]) -> str:
    """The options that would remove what is listed."""
    names = list(dict.fromkeys(f"--{item.category}" for item in items))
    return f" without {listed(names)}" if names else ""
