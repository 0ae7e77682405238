"""Texts for a page that leaves the machine: without the folders of the machine it was made on."""

from __future__ import annotations

import re

# Two parts at least: `and/or` and `/s` are no paths. Addresses (`https://…`) have a colon before their slashes.
_ABSOLUTE = re.compile(r"(?<![\w./:…])(?:file://)?/(?:[^/\s'\"<>|]+/)+([^/\s'\"<>|]*)")


def plain(text: str) -> str:
    """The text with each absolute path shortened to its last part: `/home/me/birds/a.jpg: broken` -> `…/a.jpg: broken`."""
    return _ABSOLUTE.sub(lambda found: f"…/{found[1]}", text)


def counted(number: int, one: str, several: str = "") -> str:
    """`1 pair`, `5,739 pairs`."""
    return f"{number:,} {one if number == 1 else several or one + 's'}"


def listed(items: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)
