"""Files that a plugin's code reads, compared with those that its cells are known by.

No reading of source finds every file that code will load: names are computed, and modules are made from
texts. So Python itself reports what is opened while a plugin's code runs. A file that is no part of a cell's
identity may change without making another cell, and users are told so. Files that a library in C or Rust
opens by itself are not reported, nor modules that this process had loaded before.
"""

from __future__ import annotations

import logging
import os
import site
import sys
import sysconfig
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import source_from_cache
from pathlib import Path
from types import FrameType

from harness.files import with_home

_HARNESS = f"{Path(__file__).resolve().parents[1]}{os.sep}"

_DOORS = tuple(f"{_HARNESS}{room}{os.sep}" for room in ("isolation", "plugins"))

"""Rooms of ours that call plugins' code: what is opened below them, and below no other, a plugin opened."""

_CACHES = (
    *("XDG_CACHE_HOME", "TORCH_HOME", "HF_HOME", "HF_HUB_CACHE", "TORCH_EXTENSIONS_DIR", "TRITON_CACHE_DIR"),
    *("TORCHINDUCTOR_CACHE_DIR", "MPLCONFIGDIR", "NUMBA_CACHE_DIR", "CUDA_CACHE_PATH"),
)
"""Environment variables that name folders of libraries' own files."""

_SYSTEM = ("/proc", "/sys", "/dev", "/etc", "/usr", "/lib", "/lib64", "/var/lib", "/var/cache", "/System")


class Reads:
    """What code of one owner reads, and what it may read without a word.

    Attributes:
        opened: paths of files that were opened for reading.
        covered: real paths of files, and of folders that stand for all that they hold; None where nobody
            asked what the code's numbers follow from.
    """

    def __init__(self) -> None:
        self.opened: set[str] = set()
        self.covered: frozenset[str] | None = None
        self._checked: set[str] = set()

    def uncovered(self, loading: Reads) -> list[str]:
        """Real paths of files that were read since the last call and that nothing covers, in order.

        Args:
            loading: what the plugin's modules read when they were imported.
        """
        if self.covered is None:
            return []
        fresh = (self.opened | loading.opened) - self._checked
        self._checked |= fresh
        paths = {path for path in map(_source, fresh) if path and self._is_uncovered(path)}
        return sorted(map(os.path.realpath, paths))

    def _is_uncovered(self, path: str) -> bool:
        if not os.path.isfile(path):  # noqa: PTH113 - texts are cheaper, and this is asked for each file
            return False
        real = os.path.realpath(path)
        if real in _written or path.startswith(_own_folders()) or real.startswith(_own_folders()):
            return False
        # A weight of a hub's cache is a link in the folder that the plugin was handed.
        return not any(self._covers(place) for place in (path, real))

    def _covers(self, path: str) -> bool:
        covered = self.covered or ()
        return path in covered or any(str(folder) in covered for folder in Path(path).parents)


_written: set[str] = set()
"""Real paths of files that plugins' code wrote in this process: what it keeps for itself is no input."""

_watched: list[Reads | None] = []
"""Whose code runs, the outermost first; None for code whose files are nobody's business."""


@contextmanager
def noting_reads(reads: Reads | None) -> Iterator[None]:
    """Notes the files that are opened meanwhile."""
    if reads is not None:
        _install_hook()
    _watched.append(reads)
    try:
        yield
    finally:
        _watched.pop()


def tell_reads(plugin: str, paths: Iterable[str], told: set[str]) -> None:
    """Warns of files that are no part of a cell's identity, of each once.

    Args:
        plugin: its name.
        paths: the files.
        told: what users have been told of the plugin already; added to.
    """
    for path in paths:
        if f"read {path}" in told:
            continue
        told.add(f"read {path}")
        logging.getLogger(__name__).warning(
            "bench: plugin '%s' read %s, which is no part of its cells' identity; name it in the spec's "
            "`files`, or use --fresh after it changes",
            plugin,
            path,
        )


def real_paths(places: Iterable[str | Path]) -> frozenset[str]:
    """Files and folders as they are compared: as they were named, and where links lead."""
    paths: set[str] = set()
    for place in places:
        path = with_home(place)
        paths |= {os.path.abspath(path), os.path.realpath(path)}  # noqa: PTH100 - links are kept
    return frozenset(paths)


@cache
def _install_hook() -> None:
    # Before: it opens files itself, to see whether temporary ones can be made.
    _own_folders()
    # It can never be removed.
    sys.addaudithook(_hook)


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if event != "open" or not _watched or (reads := _watched[-1]) is None:
        return
    name, mode, flags = arguments
    if not isinstance(name, str | bytes | os.PathLike):
        # The number of a file that is open already.
        return
    path = os.path.abspath(os.fsdecode(name))  # noqa: PTH100 - no object is made for each file
    if path.startswith(_own_folders()):
        return
    if _writes(mode, flags):
        _written.add(os.path.realpath(path))
    elif path not in reads.opened and _is_opened_by_plugin(sys._getframe(1)):
        reads.opened.add(path)


def _writes(mode: object, flags: object) -> bool:
    if isinstance(mode, str):
        return not set("wax").isdisjoint(mode)
    return isinstance(flags, int) and bool(flags & (os.O_CREAT | os.O_TRUNC | os.O_WRONLY))


def _is_opened_by_plugin(frame: FrameType | None) -> bool:
    """Whether the innermost code that is no library's is a plugin's: we decode pictures within its calls."""
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith(_HARNESS):
            return file.startswith(_DOORS)
        if not file.startswith((*_own_folders(), "<frozen")):
            return True
        frame = frame.f_back
    return True


def _source(path: str) -> str:
    """The file of source behind one of bytecode; empty for what describes a distribution, or is hidden."""
    if path.endswith(".pyc"):
        try:
            path = source_from_cache(path)
        except ValueError:
            return ""
    folder, name = os.path.split(path)
    if name.startswith(".") or folder.endswith((".egg-info", ".dist-info", ".git")):
        return ""
    return path


@cache
def _own_folders() -> tuple[str, ...]:
    """Beginnings of the paths of Python's, the system's and libraries' own files."""
    home = Path.home()
    places: list[str | None] = [
        *_SYSTEM,
        *(sys.prefix, sys.base_prefix, sys.exec_prefix, sysconfig.get_path("stdlib")),
        *(site.getusersitepackages(), *site.getsitepackages()),
        *(os.environ.get(name) for name in _CACHES),
        *(
            str(home / name)
            for name in (".cache", ".config", ".fonts", ".triton", ".nv", ".local/share/fonts")
        ),
    ]
    starts: set[str] = {_HARNESS}
    for place in places:
        for path in (os.path.abspath(place), os.path.realpath(place)) if place else ():  # noqa: PTH100
            if path != os.sep:
                starts.add(f"{path}{os.sep}")
    # Files that `tempfile` names.
    for folder in (tempfile.gettempdir(), os.path.realpath(tempfile.gettempdir())):
        starts.add(os.path.join(folder, tempfile.gettempprefix()))  # noqa: PTH118
    return tuple(sorted(starts))
