"""The code that a module needs: every module that it imports, wherever the statement stands.

Nothing is imported. Modules that pip installed are told by their distribution's version; all others are read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.plugins.code_files import file_digest, named_files, package_files
from harness.plugins.module_files import (
    ModuleFile,
    ModuleFinder,
    find_distribution,
    find_module,
    is_site_folder,
    submodules,
)
from harness.plugins.python_source import Import, Source, read_source

OURS = "correspondence-bench"
"""The distribution that this module belongs to."""

_TEST_FOLDERS = frozenset({"test", "tests", "conftest"})


@dataclass
class Code:
    """Files that numbers follow from.

    Attributes:
        digests: module, or path in its package -> hash. No path of a machine is among the names.
        distributions: installed ones that are imported.
        folders: those that the code adds to the search path of modules.
        places: where the files of `digests` lie, and what pip installed of `distributions`; not hashed.
    """

    digests: dict[str, str] = field(default_factory=dict)
    distributions: set[str] = field(default_factory=set)
    folders: set[str] = field(default_factory=set)
    places: set[Path] = field(default_factory=set)

    def add(self, name: str, file: Path) -> None:
        """Adds a file's hash. Raises `OSError` where it cannot be read."""
        self.digests[name] = file_digest(file)
        self.places.add(file)

    @property
    def digest(self) -> str:
        """First hex digits of a hash over all files; empty where there are none."""
        if not self.digests:
            return ""
        lines = [f"{name}\x1f{self.digests[name]}" for name in sorted(self.digests)]
        return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogatepass")).hexdigest()[:8]


def code_of(roots: Iterable[str], own: Collection[str] = ()) -> Code:
    """The code of modules and of all that they import.

    Args:
        roots: names of modules; those that are not found are left out.
        own: distributions that are read though pip installed them; ours is always.
    """
    roots = list(roots)
    folders: list[str] = []
    while True:
        code = _closure(roots, {*own, OURS}, folders)
        if code.folders <= set(folders):
            return code
        # Again, since what was not found, or found elsewhere, may lie in a folder that a module adds.
        folders = sorted(code.folders)


def code_hash(*modules: str) -> str:
    """A short hash of modules and all that they import: what is kept of their work belongs to that code."""
    return code_of(modules).digest


def _closure(roots: Iterable[str], own: Collection[str], folders: Sequence[str]) -> Code:
    code, finder = Code(), ModuleFinder(folders)
    waiting = list(roots)
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        module = finder.find(name)
        if module is None:
            continue
        # An import runs the packages above first.
        waiting.append(name.rpartition(".")[0])
        owners = finder.owners(module)
        if owners and set(own).isdisjoint(owners):
            code.distributions.update(owners)
            code.places.update(map(Path, module.folders or filter(None, [module.file])))
        elif module.file is not None:
            waiting.extend(_add_module(code, module, module.file, finder))
    return code


def _add_module(code: Code, module: ModuleFile, file: Path, finder: ModuleFinder) -> list[str]:
    """Adds a module's hash. Returns the names that it imports."""
    code.add(module.name, file)
    if file.suffix != ".py":
        return []
    source = read_source(file)
    for text, path in named_files(source.texts, file.parent):
        code.add(f"{module.name}: {text}", path)
    code.folders.update(source.folders)
    return list(_imported_names(module, source, finder))


def _imported_names(module: ModuleFile, source: Source, finder: ModuleFinder) -> Iterator[str]:
    """Names of all modules that a module might import; some may be functions or classes."""
    for statement in source.imports:
        # `from harness import match` brings the whole evaluation; every plugin imports `harness`.
        if statement.is_lazy and module.name == "harness":
            continue
        base = _absolute(module, statement)
        if not base:
            continue
        yield base
        package = finder.find(base)
        if package is None or not package.folders:
            continue
        if statement.prefix is not None or "*" in statement.names:
            yield from submodules(package, statement.prefix or "")
        for name in statement.names:
            yield f"{base}.{name}"


def _absolute(module: ModuleFile, statement: Import) -> str:
    """The module that a statement names; empty for dots that lead out of the package."""
    if not statement.level:
        return statement.module
    parts = module.package.split(".")
    above = statement.level - 1
    if above >= len(parts):
        return ""
    parts = parts[: len(parts) - above]
    return ".".join([*parts, statement.module] if statement.module else parts)


def add_distribution(code: Code, distribution: str, hooks_module: str) -> list[str]:
    """Adds the hashes of all files of a plugin's distribution.

    Args:
        distribution: its name; one that is not installed adds nothing beyond the package of `hooks_module`.
        hooks_module: the module with the hooks.

    Returns:
        Names of its modules, which are to be followed.
    """
    tops = {hooks_module}
    found = find_distribution(distribution)
    if found is not None:
        tops.update((found.read_text("top_level.txt") or "").split())
        for file in found.files or ():
            path = Path(str(found.locate_file(file)))
            is_own = not str(file).startswith("..") and ".dist-info/" not in str(file)
            if not is_own or path.suffix in (".pyc", ".pth") or not path.is_file():
                continue
            if path.suffix == ".py" and not file.name.startswith("__editable__"):
                tops.add(".".join(file.with_suffix("").parts).removesuffix(".__init__"))
            # A lone module is known by its name: an editable install has the same files and no list of them.
            if path.suffix != ".py" or len(file.parts) > 1:
                code.add(file.as_posix(), path)
    names: list[str] = []
    for top in sorted(tops):
        names.append(top)
        for folder, package in _package_folders(top):
            names += _add_folder(code, folder, package)
    return names


def _package_folders(name: str) -> Iterator[tuple[Path, str]]:
    """Folders of the uppermost package that a module lies in and that is a distribution's own."""
    parts = name.split(".")
    for count in range(1, len(parts) + 1):
        module = find_module(".".join(parts[:count]))
        if module is None:
            return
        if module.file is not None:
            if module.folders:
                yield module.file.parent, module.name
            return
        if count == len(parts):
            # A package without `__init__.py`. Where pip installs, others may have their parts of it beside.
            for folder in module.folders:
                if not is_site_folder(Path(folder).parent):
                    yield Path(folder), module.name


def _add_folder(code: Code, folder: Path, package: str) -> list[str]:
    names: list[str] = []
    for relative, path in package_files(folder):
        code.add(f"{package}/{relative}", path)
        parts = Path(relative).with_suffix("").parts
        if path.suffix == ".py" and _TEST_FOLDERS.isdisjoint(parts):
            names.append(".".join((package, *parts)).removesuffix(".__init__"))
    return names
