"""Lines of the text about an installation, and the sections they stand in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Result = Literal["", "ok", "failed", "skipped", "warned"]
"""Empty for a fact that is neither right nor wrong, such as a version."""


@dataclass(frozen=True)
class Entry:
    """One line.

    Attributes:
        remedy: a command that mends it, or what else to do; empty where there is nothing to mend.
    """

    name: str
    detail: str
    result: Result = ""
    remedy: str = ""


@dataclass(frozen=True)
class Section:
    """Lines under one title."""

    title: str
    entries: Sequence[Entry]
