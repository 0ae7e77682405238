"""One call of a plugin's code."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from harness.isolation.owner import Owner


@dataclass(eq=False)
class Visit:
    """A call of a plugin's code that has not returned yet.

    Attributes:
        before: the process's settings when it was called.
        quiet: labels of environment variables that a library set at its import: nobody needs to know.
        names: Python's built-in names that are the code's own; None where they are those of the process.
    """

    owner: Owner
    before: dict[str, Any]
    quiet: set[str] = field(default_factory=set)
    names: dict[str, Any] | None = None
