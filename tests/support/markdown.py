"""Tables in markdown, as printed."""

from __future__ import annotations

import re


def cells_of_markdown(text):
    """The texts of each row of a table, with the header and the line below it."""
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    return [[re.sub(r"\\([<*\]])", r"\1", cell.strip()) for cell in row] for row in rows]
