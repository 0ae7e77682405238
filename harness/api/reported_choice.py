"""The reported numbers that a user asks for: all that are known, sets by name, and files of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from harness.errors import UserError
from harness.plugins.host import Host
from harness.specs import ReportedSpec
from harness.tables.paper_files import read_methods
from harness.tables.papers import ReportedMethod, ReportedNumbers

ALL_KNOWN = ""
"""Stands for every set that comes with the package or a plugin."""

ENDINGS = (".csv", ".json", ".toml")
"""Of files of reported numbers."""


def read_chosen(host: Host, chosen: Sequence[str], warn: Callable[[str], None]) -> ReportedNumbers | None:
    """Reads the reported numbers that a user asks for; None for none.

    Args:
        chosen: `ALL_KNOWN`, names of sets (`bench list reported`), and paths of files. Where two papers print
            a number for one method, files count before sets, in their order.
        warn: is called with a line for a set that nobody named and that cannot be read.

    Raises:
        UserError: a file cannot be read, or there is no set of a name.
    """
    files = [text for text in dict.fromkeys(chosen) if _is_file(text)]
    methods: list[ReportedMethod] = []
    for text in files:
        methods += read_methods(ReportedSpec(name=text, file=Path(text)), host)
    names: dict[str, bool] = {}
    for text in chosen:
        if text == ALL_KNOWN:
            for name in host.reported:
                names.setdefault(name, False)
        elif text not in files:
            names[text] = True
    for name, is_asked_for in names.items():
        try:
            methods += read_methods(host.reported[name], host)
        except UserError as error:
            if is_asked_for:
                raise
            warn(f"reported numbers '{name}' are left out: {error}")
    return ReportedNumbers(tuple(methods)) if chosen else None


def _is_file(text: str) -> bool:
    """Says whether a text is a path and not a name of a set."""
    return Path(text).suffix.casefold() in ENDINGS or "/" in text
