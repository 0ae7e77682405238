"""Where a module's file lies, found without importing it, and whether pip installed it there."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import Distribution, PackageNotFoundError, distribution, packages_distributions
from pathlib import Path

SKIPPED_FOLDERS = ("__pycache__", "node_modules")

SKIPPED_SUFFIXES = (".pyc", ".pyo", ".egg-info", ".dist-info")


@dataclass(frozen=True)
class ModuleFile:
    """A module that an import would find.

    Attributes:
        name: dotted.
        file: None for a package without `__init__.py`.
        folders: where a package's submodules are looked for; empty for a plain module.
    """

    name: str
    file: Path | None
    folders: tuple[str, ...] = ()

    @property
    def package(self) -> str:
        """The package that its relative imports start from."""
        return self.name if self.folders else self.name.rpartition(".")[0]

    @property
    def root(self) -> Path | None:
        """The folder of the search path that its file was found in."""
        if self.file is None:
            return None
        depth = self.name.count(".") + (1 if self.file.stem == "__init__" else 0)
        return self.file.parents[depth]


class ModuleFinder:
    """Finds modules, and who installed them: each is looked for once.

    Args:
        first: folders to look in before this process's search path.
    """

    def __init__(self, first: Sequence[str] = ()) -> None:
        self._first = first
        self._modules: dict[str, ModuleFile | None] = {}
        self._owners: dict[tuple[str, Path | None], tuple[str, ...]] = {}

    def find(self, name: str) -> ModuleFile | None:
        """Finds a module; None for one that is not there, or has no file."""
        if name not in self._modules:
            self._modules[name] = self._look_for(name)
        return self._modules[name]

    def _look_for(self, name: str) -> ModuleFile | None:
        parent, _, _ = name.rpartition(".")
        if not parent:
            if name in sys.stdlib_module_names:
                return None
            return _module_file(name, PathFinder.find_spec(name, self._first) or _find_top(name))
        package = self.find(parent)
        if package is None or not package.folders:
            return None
        return _module_file(name, PathFinder.find_spec(name, package.folders))

    def owners(self, module: ModuleFile) -> tuple[str, ...]:
        """Names of the distributions that pip installed a module from.

        Empty for a module that lies elsewhere, such as that of an editable install, and for one that
        somebody copied among the installed ones.
        """
        key = module.name.partition(".")[0], module.root
        if key not in self._owners:
            self._owners[key] = tuple(_installed_from(*key))
        return self._owners[key]


def find_module(name: str) -> ModuleFile | None:
    """Finds a module on this process's search path; None for one that is not there, or has no file."""
    return ModuleFinder().find(name)


def submodules(module: ModuleFile, prefix: str = "") -> Iterator[str]:
    """Names of a package's direct submodules that begin with a prefix, in order."""
    names: set[str] = set()
    for folder in module.folders:
        for entry in _entries(folder):
            stem, suffix = Path(entry.name).stem, Path(entry.name).suffix
            is_package = entry.is_dir() and entry.name.isidentifier()
            if (suffix == ".py" or is_package) and stem.startswith(prefix) and stem != "__init__":
                names.add(f"{module.name}.{stem}")
    yield from sorted(names)


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not is_skipped(entry.name)]
    except OSError:
        # A zip file, or a place that a package invents.
        return []


def is_skipped(name: str) -> bool:
    """Whether a file or folder in a package is none of its code: hidden, or left by a tool."""
    return name.startswith(".") or name in SKIPPED_FOLDERS or name.endswith(SKIPPED_SUFFIXES)


def _find_top(name: str) -> ModuleSpec | None:
    # Not `importlib.util.find_spec`, which answers from the modules that were imported: another cell might
    # have put something there.
    for finder in sys.meta_path:
        try:
            spec = finder.find_spec(name, None)
        except (ImportError, AttributeError, TypeError, ValueError):
            # The import would fail as well, or the finder of another package is of an old kind.
            continue
        if spec is not None:
            return spec
    # Found while the search path was another one, as by a plugin that changes it for a moment.
    return getattr(sys.modules.get(name), "__spec__", None)


def _module_file(name: str, spec: ModuleSpec | None) -> ModuleFile | None:
    if spec is None:
        return None
    folders = tuple(spec.submodule_search_locations or ())
    file = Path(spec.origin) if spec.origin and spec.has_location else None
    if file is not None and not file.is_file():
        return None
    return ModuleFile(name, file, folders) if file or folders else None


def _installed_from(top: str, root: Path | None) -> Iterator[str]:
    for name in sorted(set(_distributions().get(top, ()))):
        found = find_distribution(name)
        if root is not None and found is not None and _is_installed_in(found, root):
            yield name


def find_distribution(name: str) -> Distribution | None:
    """An installed distribution, editable ones too; None where there is none of that name."""
    try:
        return distribution(name)
    except (PackageNotFoundError, ValueError):  # the latter for an empty name
        return None


@cache
def _distributions() -> dict[str, Sequence[str]]:
    return dict(packages_distributions())


def _is_installed_in(found: Distribution, root: Path) -> bool:
    if is_site_folder(root):
        return True
    # `pip install --target` makes a folder of any name, with the distributions' descriptions beside them.
    folder = Path(str(found.locate_file("")))
    return folder == root and any(str(file).endswith(".dist-info/METADATA") for file in found.files or ())


def is_site_folder(folder: Path) -> bool:
    """Whether a folder is one that pip installs into."""
    return folder.name in ("site-packages", "dist-packages") or folder in _site_folders()


@cache
def _site_folders() -> tuple[Path, ...]:
    return Path(sysconfig.get_path("purelib")), Path(sysconfig.get_path("platlib"))


def module_name(value: object) -> str:
    """Name of the module that a function, class or object belongs to."""
    for owner in (value, type(value)):
        name = getattr(owner, "__module__", None)
        if isinstance(name, str):
            return name
    return ""
