"""Pages of the reference that follow from the code: `python -m tools.reference` writes them.

Nothing in them depends on the machine, the terminal, the environment or installed plugins of others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from tools.reference.commands import commands_page
from tools.reference.record import record_page

FOLDER = Path(__file__).parents[2] / "docs" / "reference"

PAGES: Mapping[str, Callable[[], str]] = {"commands.md": commands_page, "record.md": record_page}
"""Name of a page below `docs/reference` -> what makes its text."""
