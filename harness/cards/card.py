"""A page of text on something that a plugin brings: sections of lines, and the same as JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

WIDTH = 100
"""Characters of a line of the page."""


@dataclass(frozen=True)
class Section:
    """A part of a page.

    Attributes:
        rows: in columns; the last one is wrapped.
        text: paragraphs, wrapped, or lines as they are where `is_verbatim`.
    """

    title: str
    rows: Sequence[Sequence[str]] = ()
    text: str = ""
    is_verbatim: bool = False

    def render(self) -> str:
        """The section as text, without a line break at its end."""
        lines = [self.title]
        if self.rows:
            lines += _columns(self.rows)
        if self.is_verbatim:
            lines += textwrap.indent(self.text, "  ").splitlines()
        elif self.text:
            lines += textwrap.wrap(self.text, WIDTH, initial_indent="  ", subsequent_indent="  ")
        return "\n".join(lines)


@dataclass(frozen=True)
class Card:
    """A page.

    Attributes:
        title: kind and name, with the description.
        sections: its parts; empty ones are left out.
        fields: the same for programs.
    """

    title: str
    sections: Sequence[Section] = ()
    fields: Mapping[str, object] = field(default_factory=dict)

    def render(self) -> str:
        """The page as text."""
        parts = [textwrap.fill(self.title, WIDTH, subsequent_indent="  ")]
        parts += [section.render() for section in self.sections if section.rows or section.text]
        return "\n\n".join(parts)


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows with their columns below each other, the last column wrapped within itself."""
    count = max(map(len, rows))
    widths = [max(len(row[number]) for row in rows if number < len(row) - 1) for number in range(count - 1)]
    lines = []
    for row in rows:
        start = "  "
        for text, width in zip(row[:-1], widths, strict=False):
            start += text.ljust(width) + "  "
        # A name that is longer than the line, such as an address, stays whole.
        wrapped = textwrap.wrap(
            row[-1], max(WIDTH - len(start), 30), break_long_words=False, break_on_hyphens=False
        )
        lines.append(f"{start}{wrapped[0] if wrapped else ''}".rstrip())
        lines += [" " * len(start) + line for line in wrapped[1:]]
    return lines
