"""Hashes of a cell's files besides its weights: learned prompts, and files that specs name."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from harness.errors import UserError
from harness.files import file_sha256, paths_below, with_home
from harness.specs import Scalar
from harness.specs.common import Files


def content_hashes(path: Path) -> dict[str, str]:
    """Name -> sha256 of a file, or of every file in a folder, links to folders followed.

    Raises:
        UserError: a file cannot be read.
    """
    files = [path]
    if path.is_dir():
        files = [file for file in paths_below(path) if file.is_file()]
    hashes: dict[str, str] = {}
    try:
        for file in files:
            status = file.stat()
            hashes[str(file.relative_to(path.parent))] = _sha256(file, status.st_mtime_ns, status.st_size)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    return hashes


# Cells share files: a checkpoint of gigabytes is read once. With time and size, for long processes.
@lru_cache(maxsize=1000)
def _sha256(path: Path, _modified: int, _size: int) -> str:
    return file_sha256(path)


def named_file_hashes(owner: str, files: Files, values: Mapping[str, Scalar]) -> dict[str, str]:
    """Name -> sha256 of the files that a spec names.

    Args:
        owner: kind and name of the spec, for messages: `extractor 'mine'`.
        values: the parameters, or options, that `files` is a function of.

    Raises:
        UserError: a file is not there, or cannot be read.
    """
    if isinstance(files, str | Path):
        # A lone text is a sequence of letters, and each would be looked for.
        files = (files,)
    paths = files(values) if callable(files) else files
    hashes: dict[str, str] = {}
    for number, text in enumerate(paths):
        path = with_home(text)
        if not path.exists():
            raise UserError(f"{owner}: {path} is not there, and it names it in `files`; put it there")
        for name, sha256 in content_hashes(path).items():
            # Two folders may have a file of one name; a path of this machine must be no part of an id.
            hashes[name if name not in hashes else f"{name} ({number})"] = sha256
    return hashes
