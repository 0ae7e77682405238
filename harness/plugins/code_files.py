"""Hashes of the files that a package's folder holds besides its modules, and of files that code names."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

from harness.files import file_sha256, with_home
from harness.plugins.module_files import is_skipped
from harness.plugins.python_source import read_source

WHOLE_BYTES = 64 << 20
"""Larger files in a package's folder count by their size, first and last megabyte: bundled weights are read
from gigabytes otherwise, before every run."""

_END_BYTES = 1 << 20

WEIGHT_SUFFIXES = (
    *(".pt", ".pth", ".ckpt", ".safetensors", ".bin", ".onnx", ".h5", ".npy", ".npz", ".pkl", ".mat", ".tar"),
)
"""Suffixes of files of numbers: one that code names is looked for beside the code and in the folder that
`bench` was started in."""

SETTING_SUFFIXES = (".yaml", ".yml", ".toml", ".json", ".ini", ".cfg")
"""Suffixes of configuration: looked for beside the code alone, since results may have the same ones."""


def file_digest(path: Path) -> str:
    """Hash of a file of a package: of its syntax for Python source, of its bytes otherwise.

    Raises:
        OSError: it cannot be read.
    """
    if path.suffix == ".py":
        return read_source(path).digest
    status = path.stat()
    return _bytes_digest(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=10_000)
def _bytes_digest(path: Path, _modified: int, size: int) -> str:
    if size <= WHOLE_BYTES:
        return file_sha256(path)
    digest = hashlib.sha256(f"{size}\x1f".encode())
    with path.open("rb") as file:
        digest.update(file.read(_END_BYTES))
        file.seek(-_END_BYTES, os.SEEK_END)
        digest.update(file.read(_END_BYTES))
    return digest.hexdigest()


def package_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """All files of a package's folder: their paths below it, with `/` between, and where they lie.

    Links to folders are followed, once each. What tools leave there, hidden files and results folders are
    left out.
    """
    seen: set[str] = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen or _is_results_folder(place, folders):
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not is_skipped(name))
        for name in sorted(names):
            path = Path(place, name)
            # A pipe or a socket would be read for ever.
            if not is_skipped(name) and path.is_file():
                yield path.relative_to(folder).as_posix(), path


def _is_results_folder(place: str, folders: Iterable[str]) -> bool:
    """Whether a folder holds cells: what a run writes must not make the next one another cell."""
    return any(Path(place, name, "record.json").is_file() for name in folders)


def named_files(texts: Iterable[str], folder: Path) -> Iterator[tuple[str, Path]]:
    """The files that string constants of a module name, and where they lie.

    Args:
        texts: constants that might be paths.
        folder: that of the module.
    """
    for text in texts:
        suffix = Path(text).suffix.lower()
        places: tuple[Path, ...] = ()
        if suffix in WEIGHT_SUFFIXES:
            places = (folder, Path.cwd())
        elif suffix in SETTING_SUFFIXES or (suffix and not text.startswith(("/", "~"))):
            # Other kinds beside the code alone: those of the system are each machine's own.
            places = (folder,)
        for place in places:
            path = place / (with_home(text) if text.startswith("~/") else text)
            if path.is_file():
                yield text, path
                break
