"""Texts for a page that leaves the machine: without the folders of the machine it was made on."""

from __future__ import annotations

import re

from harness.messages import printable

# At least two parts: `and/or` and `/s` are not paths. Addresses (`https://…`) have a colon before theirs.
_ABSOLUTE = re.compile(r"(?<![\w./:…])(?:file://)?/(?:[^/\s'\"<>|]+/)+([^/\s'\"<>|]*)")


def plain(text: str) -> str:
    """The text in one line of printable characters, with each absolute path shortened to its last part.

    `/home/me/birds/a.jpg: broken` becomes `…/a.jpg: broken`.
    """
    return _ABSOLUTE.sub(r"…/\1", printable(text))
