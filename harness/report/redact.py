"""Texts for a page that leaves the machine: without the folders of the machine it was made on."""

from __future__ import annotations

import re

# Two parts at least: `and/or` and `/s` are no paths. Addresses (`https://…`) have a colon before their slashes.
_ABSOLUTE = re.compile(r"(?<![\w./:…])(?:file://)?/(?:[^/\s'\"<>|]+/)+([^/\s'\"<>|]*)")


def plain(text: str) -> str:
    """The text with each absolute path shortened to its last part: `/home/me/birds/a.jpg: broken` -> `…/a.jpg: broken`."""
    return _ABSOLUTE.sub(lambda found: f"…/{found[1]}", text)
