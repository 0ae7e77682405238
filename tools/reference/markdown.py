"""Texts of the code, written as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

NOTE = "<!-- Written by `make docs-reference`; do not edit by hand. -->"


def code(text: str) -> str:
    """A text as inline code that may stand in a table."""
    return f"`{text}`".replace("|", "\\|")


def plain(text: str) -> str:
    """A text in one line without markup of its own: what Markdown would read as markup is escaped.

    Commands in quotes ('bench list methods') become code, and what is code already stays.
    """
    parts = re.split(r"(`[^`]+`|'bench [^']+')", " ".join(text.split()))
    written = []
    for part in parts:
        is_code = part.startswith("`") or part.startswith("'bench ")
        written.append(code(part[1:-1]) if is_code and len(part) > 1 else _escape(part))
    return "".join(written).replace("-\\>", "→")


def _escape(text: str) -> str:
    return re.sub(r"([\\*|<>\[\]~])|(?<!\w)_|_(?!\w)", lambda match: "\\" + match.group(), text)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
