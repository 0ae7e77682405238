"""Warnings of Python's functions, in place of the lines that commands print to stderr."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import BenchWarning
from harness.messages import printable

if TYPE_CHECKING:
    from types import FrameType

_OURS = str(Path(__file__).parent) + os.sep


def warn(line: str) -> None:
    """Issues a line as a `BenchWarning` at the line of the user's code that called us.

    Each time, also where the same was said before: a cell of a notebook that is run again may fail again.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_OURS):
        frame = frame.f_back
    file, number = ("harness", 1) if frame is None else (frame.f_code.co_filename, frame.f_lineno)
    # With a registry of its own: Python's default filter is silent about what a line has said already.
    warnings.warn_explicit(printable(line), BenchWarning, file, number, registry={})
