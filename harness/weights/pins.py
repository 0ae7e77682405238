"""Whether what a fetch brings is fixed beforehand, or whatever its publisher has there that day."""

from __future__ import annotations

import re
from typing import Literal

from harness.specs import WeightSource

Pin = Literal["package", "hash", "commit", "no"]
"""`package`: comes with an installed package. `hash`: hashes of its weights are known, and others refused.
`commit`: all of its repositories are named at a commit. `no`: neither; the hub's own hashes find damage, and
the record of a fetch finds later changes.
"""

_COMMIT = re.compile("[0-9a-f]{40}")


def pin_of(source: WeightSource) -> Pin:
    """How a source is pinned."""
    if source.locate:
        return "package"
    has_hashes = bool(source.downloads) and all(file.sha256 for file in source.downloads)
    if source.sha256 or has_hashes:
        return "hash"
    revisions = [mirror.partition("@")[2] for mirror in source.mirrors]
    is_at_commits = bool(revisions) and all(map(_COMMIT.fullmatch, revisions))
    return "commit" if is_at_commits else "no"
