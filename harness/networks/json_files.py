"""Configuration files: JSON objects that come with weights, read without trust."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.errors import UserError


def read_object(path: Path, expected: str = "copy or fetch it again") -> dict[str, Any]:
    """Reads a JSON object.

    Args:
        expected: the end of the message about a file that cannot be read.

    Raises:
        UserError: the file is missing, damaged, or holds something other than an object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        # ValueError: damaged JSON or UTF-8, or a number of more digits than Python reads.
        reason = getattr(error, "strerror", None) or f"not valid JSON ({_reason(error)})"
        raise UserError(f"{path}: {reason}; {expected}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: not a JSON object; {expected}")
    return content


def _reason(error: BaseException) -> str:
    if isinstance(error, RecursionError):
        return "nested too deep"
    return str(error).splitlines()[0][:200]
