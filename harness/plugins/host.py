"""Loads plugins and collects the specs they bring, one registry per hook.

Each plugin is loaded by itself: a broken one is reported, and stops only a run that names a spec which it
would have brought. Built-in plugins go through the same hooks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any

import pluggy

from harness import hookspecs
from harness.errors import UserError
from harness.messages import one_line
from harness.plugins.module_files import module_name
from harness.plugins.registry import MethodRegistry, Plugin, Registry, Status
from harness.specs import (
    CommandSpec,
    DatasetSpec,
    ExtractorSpec,
    LocalizerSpec,
    PromptSpec,
    ProtocolSpec,
    WeightSource,
)


class Host:
    """All plugins of a process and the specs they brought.

    `host.extractors["dift"]` returns a spec, or raises a `UserError` that names the nearest ones; likewise
    for every hook.

    Attributes:
        plugins: every plugin found, in order of loading.
        manager: the loaded ones, for lifecycle hooks.
        registries: collecting hook -> the specs it brought.
        references: plugin -> modules that its module's names came from when it was loaded.
        versions: (hook, name of a spec) -> version of the code behind it, as far as somebody asked.
    """

    def __init__(self) -> None:
        self.plugins: list[Plugin] = []
        self.manager = pluggy.PluginManager(hookspecs.PROJECT)
        self.manager.add_hookspecs(hookspecs)
        self.extractors = Registry("bench_extractors", ExtractorSpec, self.plugins)
        self.localizers = Registry("bench_localizers", LocalizerSpec, self.plugins)
        self.prompts = Registry("bench_prompts", PromptSpec, self.plugins)
        self.methods = MethodRegistry(self.plugins, self.extractors)
        self.datasets = Registry("bench_datasets", DatasetSpec, self.plugins)
        self.protocols = Registry("bench_protocols", ProtocolSpec, self.plugins)
        self.weight_sources = Registry("bench_weights", WeightSource, self.plugins)
        self.commands = Registry("bench_commands", CommandSpec, self.plugins)
        registries: tuple[Registry[Any], ...] = (
            self.extractors,
            self.localizers,
            self.prompts,
            self.methods,
            self.datasets,
            self.protocols,
            self.weight_sources,
            self.commands,
        )
        self.registries: Mapping[str, Registry[Any]] = {registry.hook: registry for registry in registries}
        self.references: dict[str, tuple[str, ...]] = {}
        self.versions: dict[tuple[str, str], str] = {}

    def load(
        self, name: str, distribution: str, version: str, importer: Callable[[], object], source: str = ""
    ) -> None:
        """Imports and registers one plugin; an error becomes its status.

        Args:
            importer: imports it, and returns its module or the object that has its hooks.
            source: its module as an entry point names it; empty for a plugin that is not installed.
        """
        plugin = Plugin(name, distribution, version, "loaded", source=source)
        try:
            module = importer()
            needed = getattr(module, "bench_api", hookspecs.BENCH_API)
            if needed != hookspecs.BENCH_API:
                raise UserError(
                    f"needs bench API {needed}, this is {hookspecs.BENCH_API}; install a matching version"
                )
            self.manager.register(module, name=name)
            # Raises for a hook that is not one of ours, such as a misspelled name.
            self.manager.check_pending()
            # All records are collected before the first is added: a plugin that fails leaves none behind.
            collected = {}
            for hook, registry in self.registries.items():
                collected[hook] = self._collect(module, registry)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin must not stop the others
            if self.manager.has_plugin(name):
                self.manager.unregister(name=name)
            self.plugins.append(replace(plugin, status="failed", reason=one_line(error)))
            return
        # Now, and not when a version is asked for: a cell that ran may have left other values there.
        self.references[name] = _referenced_modules(module)
        hooks = [caller.name for caller in self.manager.get_hookcallers(module) or ()]
        plugin = replace(plugin, hooks=tuple(sorted(hooks)))
        self.plugins.append(self._add(plugin, collected))

    def skip(self, name: str, distribution: str, version: str, status: Status, reason: str) -> None:
        """Lists a plugin that is not loaded."""
        self.plugins.append(Plugin(name, distribution, version, status, reason=reason))

    def _add(self, plugin: Plugin, collected: Mapping[str, Sequence[Any]]) -> Plugin:
        """Adds the specs to their registries. Returns the plugin with the clashes in its `reason`."""
        clashes = []
        for hook, specs in collected.items():
            for spec in specs:
                if clash := self.registries[hook].add(spec.name, spec, plugin):
                    clashes.append(clash)
        return replace(plugin, reason="; ".join(clashes))

    def _collect(self, module: object, registry: Registry[Any]) -> list[Any]:
        """Calls one plugin's implementation of a hook. Raises `UserError` for specs of another class."""
        # Only this plugin's: calling the hook itself would call those of all plugins once more.
        specs: list[Any] = []
        for implementation in getattr(self.manager.hook, registry.hook).get_hookimpls():
            if implementation.plugin is module:
                specs.extend(implementation.function())
        for spec in specs:
            if not isinstance(spec, registry.spec_class):
                raise UserError(
                    f"{registry.hook} returned a {type(spec).__name__}, "
                    f"expected a list of {registry.spec_class.__name__}"
                )
        counts = Counter(spec.name for spec in specs)
        for name in sorted(counts):
            if counts[name] > 1:
                raise UserError(f"{registry.hook} returned '{name}' twice")
        return specs


def _referenced_modules(module: object) -> tuple[str, ...]:
    """Modules that the values in a module come from: those that it imported by a name made up at run time."""
    names: set[str] = set()
    for value in getattr(module, "__dict__", {}).values():
        if isinstance(value, ModuleType):
            names.add(value.__name__)
        elif callable(value):
            names.add(module_name(value))
    return tuple(sorted(names))
