"""Configuration files: JSON objects that come with weights, read without trust."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.files import read_json

LFS_POINTER = b"version https://git-lfs"
"""First words of the small file that Git leaves in the place of a large one."""


def is_lfs_pointer(path: Path) -> bool:
    """True for a pointer of Git LFS. Raises `OSError` for a file that cannot be read."""
    with path.open("rb") as file:
        return file.read(len(LFS_POINTER)) == LFS_POINTER


def lfs_message(path: Path) -> str:
    """The line about a pointer of Git LFS."""
    return f"{path}: is a pointer of Git LFS and not the file itself; 'git lfs pull' gets it"


def read_object(path: Path, expected: str = "copy or fetch it again") -> dict[str, Any]:
    """Reads a JSON object.

    Args:
        expected: the end of the message about a file that cannot be read.

    Raises:
        UserError: the file is missing, damaged, or holds something other than an object.
    """
    try:
        is_pointer = is_lfs_pointer(path)
        content = None if is_pointer else read_json(path)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; {expected}") from error
    except ValueError as error:
        raise UserError(f"{path}: {error}; {expected}") from error
    if is_pointer:
        raise UserError(lfs_message(path))
    if not isinstance(content, dict):
        raise UserError(f"{path}: not a JSON object; {expected}")
    return content
