"""Modules that a plugin's code imports first.

A plugin that imports torch and changes it at once would leave nobody knowing what torch was like before.
Therefore the settings of such modules are read right after their import, before the plugin goes on.

What a module sets while it is imported is set once in the process. It holds for everything that the plugin
makes, whichever part of it came to import the module.
"""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import harness.isolation.settings as process_settings
from harness.isolation.visit import Visit


@contextmanager
def watching_imports(visits: Sequence[Visit]) -> Iterator[None]:
    """Watches the imports of a plugin's code.

    Args:
        visits: calls of plugins' code that have not returned, the outermost first.
    """
    finder = _Finder(visits)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        # The code may have rearranged the list.
        with suppress(ValueError):
            sys.meta_path.remove(finder)


class _Finder(MetaPathFinder):
    """Finds what the others find, with a loader that watches."""

    def __init__(self, visits: Sequence[Visit]) -> None:
        self._visits = visits
        self.depth = 0

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Returns the spec of a module that is to be watched."""
        is_outermost = self.depth == 0
        if not is_outermost and fullname not in process_settings.WATCHED:
            return None
        for finder in sys.meta_path:
            if isinstance(finder, _Finder):
                continue
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                # Without a loader it is a folder of modules; very old loaders work in another way.
                if hasattr(spec.loader, "exec_module"):
                    spec.loader = _WatchingLoader(spec.loader, self, self._visits)
                return spec
        return None


class _WatchingLoader(Loader):
    """Loads as another loader does, and reads settings before and after."""

    def __init__(self, loader: Any, finder: _Finder, visits: Sequence[Visit]) -> None:
        self._loader, self._finder, self._visits = loader, finder, visits

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Creates the module as the other loader does."""
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Runs the module's code."""
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        is_outermost = self._finder.depth == 0
        before = process_settings.read_values() if is_outermost else {}
        self._finder.depth += 1
        try:
            if module.__name__ in process_settings.WATCHED:
                self._load_watched(module)
            else:
                self._loader.exec_module(module)
        finally:
            self._finder.depth -= 1
        if is_outermost:
            self._keep(module, before)

    def _load_watched(self, module: ModuleType) -> None:
        """Loads a module that has settings of the process, without the plugin's environment variables."""
        outermost = self._visits[0]
        own = process_settings.environment()
        process_settings.replace_environment(outermost.before)
        try:
            self._loader.exec_module(module)
            for group in process_settings.GROUPS:
                if group.module == module.__name__:
                    values = process_settings.read_group(group)
                    for visit in self._visits:
                        visit.before.update(values)
        finally:
            process_settings.replace_environment(own)

    def _keep(self, module: ModuleType, before: dict[str, Any]) -> None:
        """Keeps for the plugin what a module has set."""
        visit = self._visits[-1]
        after = process_settings.read_values()
        for label, value in process_settings.changes({**visit.before, **before}, after).items():
            if process_settings.group_of(label).is_kept:
                visit.owner.plugin.own[label] = value
            if _is_library(module) and label.startswith(process_settings.ENVIRONMENT):
                visit.quiet.add(label)


def _is_library(module: ModuleType) -> bool:
    return (module.__file__ or "").startswith((sysconfig.get_path("purelib"), sysconfig.get_path("platlib")))
