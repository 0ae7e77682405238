"""The versions of this package, of Python and of what this package needs."""

from __future__ import annotations

import platform
import re
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from harness.doctor.entries import Entry
from harness.environment import source_state
from harness.version import __version__

DISTRIBUTION = "correspondence-bench"


def software() -> Iterator[Entry]:
    """Lines about versions. A package that is needed and not installed is a fault."""
    yield Entry("bench", _own_version())
    yield Entry("Python", f"{platform.python_version()} ({platform.python_implementation()})")
    try:
        needed = _requirements()
    except PackageNotFoundError:
        yield Entry("packages", f"{DISTRIBUTION} is not installed, so what it needs is not known", "warned")
        return
    for requirement in needed:
        # Those of an extra, such as `dev`, are needed by nobody who runs `bench`.
        name = re.match(r"[\w.-]+", requirement)
        if name and "extra ==" not in requirement:
            yield _package(name[0], requirement)


def _requirements() -> Sequence[str]:
    """The packages that this one needs, as `name>=version`. Raises `PackageNotFoundError`."""
    project = _folder() / "pyproject.toml"
    # A clone may have moved on since it was installed.
    with suppress(OSError, ValueError, KeyError):
        needed: Sequence[str] = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["dependencies"]
        return needed
    return requires(DISTRIBUTION) or ()


def _folder() -> Path:
    return Path(__file__).resolve().parents[2]


def _own_version() -> str:
    commit, is_changed = source_state()
    if commit is None:
        return f"{__version__}, installed in {_folder()}"
    changes = ", changed since" if is_changed else ""
    return f"{__version__}, commit {commit}{changes}, in {_folder()}"


def _package(name: str, requirement: str) -> Entry:
    try:
        return Entry(name, version(name))
    except PackageNotFoundError:
        return Entry(
            name, "not installed", "failed", f"pip install '{requirement.partition(';')[0].strip()}'"
        )
