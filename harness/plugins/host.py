"""Loads plugins and collects the specs they bring, one registry per hook.

Each plugin is loaded by itself: a broken one is reported, and stops only a run that names a spec which it
would have brought. Built-in plugins go through the same hooks.
"""

from __future__ import annotations

import difflib
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from itertools import islice
from types import ModuleType
from typing import Any

import pluggy

from harness import hookspecs
from harness.errors import UserError
from harness.isolation.guard import running_code_of
from harness.isolation.guarded import GuardedFunction
from harness.isolation.guarded_specs import guarded_spec
from harness.isolation.owner import Owner, owner_of
from harness.isolation.reads import noting_reads
from harness.messages import one_line, printable
from harness.plugins.method_checks import check_method
from harness.plugins.module_files import module_name
from harness.plugins.names import check_name
from harness.plugins.registry import BUILTIN, Claim, DatasetRegistry, MethodRegistry, Plugin, Registry, Status
from harness.plugins.spec_checks import check_fields
from harness.specs import (
    CommandSpec,
    DatasetSpec,
    ExtractorSpec,
    LocalizerSpec,
    MatcherSpec,
    MethodSpec,
    PromptSpec,
    ProtocolSpec,
    ReportedSpec,
    TrainerSpec,
    WeightSource,
)

MOST_SPECS = 10_000
"""Specs that a hook may return: a generator that never ends would fill the memory."""


class Host:
    """All plugins of a process and the specs they brought.

    `host.extractors["dift"]` returns a spec, or raises a `UserError` that names the nearest ones; likewise
    for every hook.

    Attributes:
        plugins: every plugin found, in order of loading.
        manager: the loaded ones, for lifecycle hooks.
        registries: collecting hook -> the specs it brought.
        owners: plugin of another author -> its settings of the process.
        references: plugin -> modules that its module's names came from when it was loaded.
        versions: (hook, name of a spec) -> version of the code behind it, as far as somebody asked.
    """

    def __init__(self) -> None:
        self.plugins: list[Plugin] = []
        self.manager = pluggy.PluginManager(hookspecs.PROJECT)
        self.manager.add_hookspecs(hookspecs)
        self.extractors = Registry("bench_extractors", ExtractorSpec, self.plugins)
        self.localizers = Registry("bench_localizers", LocalizerSpec, self.plugins)
        self.matchers = Registry("bench_matchers", MatcherSpec, self.plugins)
        self.prompts = Registry("bench_prompts", PromptSpec, self.plugins)
        self.methods = MethodRegistry(self.plugins, self.extractors)
        self.datasets = DatasetRegistry("bench_datasets", DatasetSpec, self.plugins)
        self.protocols = Registry("bench_protocols", ProtocolSpec, self.plugins)
        self.weight_sources = Registry("bench_weights", WeightSource, self.plugins)
        self.reported = Registry("bench_reported", ReportedSpec, self.plugins)
        self.commands = Registry("bench_commands", CommandSpec, self.plugins)
        self.trainers = Registry("bench_trainers", TrainerSpec, self.plugins)
        registries: tuple[Registry[Any], ...] = (
            self.extractors,
            self.localizers,
            self.matchers,
            self.prompts,
            self.methods,
            self.datasets,
            self.protocols,
            self.weight_sources,
            self.reported,
            self.commands,
            self.trainers,
        )
        self.registries: Mapping[str, Registry[Any]] = {registry.hook: registry for registry in registries}
        self.owners: dict[str, Owner] = {}
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
        owner = None if name in BUILTIN else Owner(name)
        try:
            with _guard(owner):
                module = importer()
            if owner:
                owner = self.owners[name] = owner_of(module, owner)
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
                collected[hook] = self._collect(module, registry, owner)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin must not stop the others
            if self.manager.has_plugin(name):
                self.manager.unregister(name=name)
            self.plugins.append(replace(plugin, status="failed", reason=printable(_reason(error))))
            return
        # Now, and not when a version is asked for: a cell that ran may have left other values there.
        self.references[name] = _referenced_modules(module)
        if owner:
            self._guard_reporters(module, owner)
        hooks = [caller.name for caller in self.manager.get_hookcallers(module) or ()]
        plugin = replace(plugin, hooks=tuple(sorted(hooks)))
        self.plugins.append(self._add(plugin, collected))

    def skip(self, name: str, distribution: str, version: str, status: Status, reason: str) -> None:
        """Lists a plugin that is not loaded."""
        self.plugins.append(Plugin(name, distribution, version, status, reason=reason))

    @contextmanager
    def searching_for(self, plugin: Plugin) -> Iterator[None]:
        """Lets modules be found where a plugin's own imports look: in folders that it added to `sys.path`."""
        owner, before = self.owners.get(plugin.name), list(sys.path)
        if owner and owner.search_path:
            sys.path[:] = owner.search_path
        try:
            yield
        finally:
            sys.path[:] = before

    def _add(self, plugin: Plugin, collected: Mapping[str, Sequence[Any]]) -> Plugin:
        """Adds the specs to their registries. Returns the plugin with the clashes in its `reason`."""
        clashes = []
        for hook, specs in collected.items():
            for spec in specs:
                if clash := self.registries[hook].add(spec.name, spec, plugin):
                    clashes.append(clash)
        clashes += self._clashes_of_methods(plugin, collected)
        return replace(plugin, reason="; ".join([*clashes, *self._unmarked_hooks(plugin)]))

    def _clashes_of_methods(self, plugin: Plugin, collected: Mapping[str, Sequence[Any]]) -> list[str]:
        """Clashes of this plugin's extractors with others' methods, and of its methods with their extractors.

        A user types both after `--methods`.
        """
        clashes: list[str] = []
        rooms = (("bench_extractors", self.methods), ("bench_methods", self.extractors))
        for hook, others in rooms:
            kind = self.registries[hook].kind
            for spec in collected[hook]:
                earlier = others.same_name(spec.name)
                owner = others.origin(earlier) if earlier else plugin
                # Within a plugin, a method may be called after its extractor.
                if earlier and owner.name != plugin.name:
                    first = Claim(others.kind, earlier, owner)
                    clashes.append(self.methods.add_clash(first, Claim(kind, spec.name, plugin)))
        return clashes

    def _unmarked_hooks(self, plugin: Plugin) -> list[str]:
        """Functions that are called like a hook and were not collected, or a line where there are none."""
        module = self.manager.get_plugin(plugin.name)
        if not plugin.hooks:
            return ["implements no hook (is @hookimpl missing?)"]
        unmarked: list[str] = []
        for name in _hook_names():
            if name not in plugin.hooks and callable(getattr(module, name, None)):
                unmarked.append(f"{name} is not called (is @hookimpl missing?)")
        return unmarked

    def _guard_reporters(self, module: object, owner: Owner) -> None:
        """Puts a plugin's lifecycle hooks behind the guard, which hands them copies."""
        for caller in self.manager.get_hookcallers(module) or ():
            for implementation in caller.get_hookimpls():
                is_guarded = isinstance(implementation.function, GuardedFunction)
                if implementation.plugin is module and not is_guarded:
                    guarded = GuardedFunction(owner, implementation.function)
                    object.__setattr__(implementation, "function", guarded)

    def _collect(self, module: object, registry: Registry[Any], owner: Owner | None) -> list[Any]:
        """Calls one plugin's implementation of a hook. Raises `UserError` for specs of another class.

        Args:
            owner: the plugin, whose specs are put behind the guard; None for a built-in one.
        """
        # Only this plugin's: calling the hook itself would call those of all plugins once more.
        specs: list[Any] = []
        for implementation in getattr(self.manager.hook, registry.hook).get_hookimpls():
            if implementation.plugin is module:
                with _guard(owner):
                    # A hook may be a generator: its code runs here.
                    specs.extend(_first_specs(registry, implementation.function()))
        if len(specs) > MOST_SPECS:
            raise UserError(f"{registry.hook} returned more than {MOST_SPECS:,} specs; return fewer")
        for spec in specs:
            if not isinstance(spec, registry.spec_class):
                raise UserError(
                    f"{registry.hook} returned a {type(spec).__name__}, "
                    f"expected a list of {registry.spec_class.__name__}"
                )
            check_name(registry.hook, spec.name)
            check_fields(registry.kind, spec)
            if isinstance(spec, MethodSpec):
                check_method(spec)
        counts = Counter(spec.name.casefold() for spec in specs)
        for spec in specs:
            if counts[spec.name.casefold()] > 1:
                raise UserError(f"{registry.hook} returned '{spec.name}' twice")
        return [guarded_spec(spec, owner) for spec in specs] if owner else specs


def _first_specs(registry: Registry[Any], brought: Any) -> Iterator[Any]:
    """The specs that a hook returned, one more than it may at most. Raises `UserError` for no list."""
    if not isinstance(brought, Iterable):
        kind = f"{type(brought).__name__}, expected a list of {registry.spec_class.__name__}"
        raise UserError(f"{registry.hook} returned a {kind}")
    return islice(brought, MOST_SPECS + 1)


def _guard(owner: Owner | None) -> AbstractContextManager[None]:
    return _loading(owner) if owner else nullcontext()


@contextmanager
def _loading(owner: Owner) -> Iterator[None]:
    """Runs code that loads a plugin: what it reads, all that the plugin makes may depend on."""
    with running_code_of(owner), noting_reads(owner.loading):
        yield


def _hook_names() -> list[str]:
    """Names of all hooks, those that report included."""
    return [name for name in vars(hookspecs) if name.startswith("bench_")]


def _reason(error: BaseException) -> str:
    """The cause of a failure in one line. pluggy's errors have it at their end."""
    if not isinstance(error, pluggy.PluginValidationError):
        # The plugin's name stands before it.
        return one_line(error, with_plugin=False)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    cause = lines[-1] if len(lines) > 1 else str(error)
    hook = re.search(r"hook '(\w+)'", str(error))
    if len(lines) > 1 and hook:
        return f"{hook[1]}: {cause}"
    near = difflib.get_close_matches(hook[1], _hook_names(), n=1) if hook else []
    return f"there is no hook '{hook[1]}'" + (f"; did you mean {near[0]}?" if near else "") if hook else cause


def _referenced_modules(module: object) -> tuple[str, ...]:
    """Modules that the values in a module come from: those that it imported by a name made up at run time."""
    names: set[str] = set()
    for value in getattr(module, "__dict__", {}).values():
        if isinstance(value, ModuleType):
            names.add(value.__name__)
        elif callable(value):
            names.add(module_name(value))
    return tuple(sorted(names))
