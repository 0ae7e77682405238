"""BibTeX of specs' citations: its entries, told apart by their keys."""

from __future__ import annotations

import re

from harness.errors import UserError

_START = re.compile(r"@(\w+)\s*\{\s*([^\s,{}=\"#%]+)\s*,")


def parse_entries(text: str) -> dict[str, str]:
    """The entries of a text, by their keys, each without the space around it.

    Raises:
        ValueError: a part of the text is no entry, a brace is missing, or a key is there twice.
    """
    entries: dict[str, str] = {}
    position = 0
    while rest := text[position:].strip():
        position = text.index(rest[0], position)
        start = _START.match(text, position)
        if start is None:
            raise ValueError(f"expected an entry such as '@article{{key, ...}}', found {rest[:30]!r}")
        end = _end_of_entry(text, position)
        if start[2] in entries:
            raise ValueError(f"key {start[2]} is there twice")
        entries[start[2]] = text[position:end]
        position = end
    return entries


def _end_of_entry(text: str, position: int) -> int:
    """The place behind the brace that closes an entry. Raises `ValueError` where there is none."""
    depth = 0
    for number in range(position, len(text)):
        if text[number] == "{":
            depth += 1
        elif text[number] == "}":
            depth -= 1
            if depth == 0:
                return number + 1
    raise ValueError(f"no brace closes the entry that begins {text[position : position + 30]!r}")


def check_citation(owner: str, text: str) -> None:
    """Checks the citation of a spec.

    Args:
        owner: kind and name of the spec, for messages: `method 'mine'`.

    Raises:
        UserError: it is not BibTeX.
    """
    try:
        parse_entries(text)
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{owner}: its citation is not BibTeX: {error}") from error
