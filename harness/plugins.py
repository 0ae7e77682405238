"""Finds, loads, blocks and lists plugins, and answers for the names they bring.

Each entry point is loaded by itself: one that is broken is reported, and stops nothing but the run that names what it would have
brought. Built-in plugins go through the same hooks.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal, TypeVar

import pluggy

from harness import hookspecs
from harness.errors import UserError, unknown_name
from harness.specs import CommandSpec, DatasetSpec, ExtractorSpec, LocalizerSpec, MethodSpec, PromptSpec, ProtocolSpec, WeightSource

DISTRIBUTION = "correspondence-bench"
BUILTIN = {"harness": "harness.builtin", "baselines": "baselines.plugin", "sd4match": "sd4match_plugin.plugin"}
"""Plugins that come with this distribution: name -> module."""

HOOKS: Mapping[str, type[Any]] = {
    "bench_extractors": ExtractorSpec,
    "bench_localizers": LocalizerSpec,
    "bench_prompts": PromptSpec,
    "bench_methods": MethodSpec,
    "bench_datasets": DatasetSpec,
    "bench_protocols": ProtocolSpec,
    "bench_weights": WeightSource,
    "bench_commands": CommandSpec,
}
"""Collecting hook -> the record it returns."""

Status = Literal["loaded", "failed", "blocked", "shadowed"]
Spec = TypeVar("Spec")


@dataclass(frozen=True)
class Plugin:
    """What `bench plugins` says of one plugin.

    Attributes:
        distribution, version: the installed package it comes from.
        hooks: hooks it implements.
        reason: why it is not loaded, or what is wrong with a loaded one.
    """

    name: str
    distribution: str
    version: str
    status: Status
    hooks: tuple[str, ...] = ()
    reason: str = ""

    @property
    def origin(self) -> str:
        """The plugin and its package, for messages."""
        return f"plugin '{self.name}' ({self.distribution} {self.version})"


def _manager() -> pluggy.PluginManager:
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    return manager


@dataclass
class Host:
    """All plugins of a process and the records they brought, by hook and name.

    Attributes:
        plugins: every plugin found, in order of loading.
        manager: the loaded ones, for lifecycle hooks.
    """

    plugins: list[Plugin] = field(default_factory=list)
    manager: pluggy.PluginManager = field(default_factory=_manager)
    _records: dict[str, dict[str, Any]] = field(default_factory=lambda: {hook: {} for hook in HOOKS})
    _origins: dict[tuple[str, str], Plugin] = field(default_factory=dict)
    _clashes: dict[tuple[str, str], list[Plugin]] = field(default_factory=dict)

    # ------------------------------------------------------------------------------------------------------------- names

    def find(self, hook: str, name: str) -> Any:
        """The record called `name` that a collecting hook brought.

        Raises:
            UserError: if there is none (with the nearest names, and the plugins that failed and might have brought it), or two.
        """
        kind = _word(hook)
        clash = self._clashes.get((hook, name))
        if clash:
            both = " and ".join(plugin.origin for plugin in clash)
            raise UserError(f"{kind} '{name}' is offered by both {both}; block one of them with --no-plugin NAME")
        try:
            return self._records[hook][name]
        except KeyError:
            failed = [plugin for plugin in self.plugins if plugin.status in ("failed", "blocked", "shadowed")]
            happened = {"failed": " failed", "shadowed": " is shadowed"}
            reasons = "".join(f"; {plugin.origin}{happened.get(plugin.status, '')}: {plugin.reason}" for plugin in failed)
            known = self.methods if hook == "bench_methods" else self._records[hook]
            raise UserError(f"{unknown_name(kind, name, known)}{reasons}") from None

    def origin(self, hook: str, name: str) -> Plugin:
        """The plugin that brought a record."""
        return self._origins[hook, name]

    def extractor(self, name: str) -> ExtractorSpec:
        """The feature extractor called `name`, or a `UserError`; so for the others below."""
        return self._typed("bench_extractors", name, ExtractorSpec)

    def localizer(self, name: str) -> LocalizerSpec:
        return self._typed("bench_localizers", name, LocalizerSpec)

    def prompt(self, name: str) -> PromptSpec:
        return self._typed("bench_prompts", name, PromptSpec)

    def dataset(self, name: str) -> DatasetSpec:
        return self._typed("bench_datasets", name, DatasetSpec)

    def protocol(self, name: str) -> ProtocolSpec:
        return self._typed("bench_protocols", name, ProtocolSpec)

    def weight_source(self, name: str) -> WeightSource:
        return self._typed("bench_weights", name, WeightSource)

    def method(self, name: str) -> MethodSpec:
        """The method called `name`; an extractor that no method names is a method of its own name."""
        if name in self._methods():
            return self._methods()[name]
        return self._typed("bench_methods", name, MethodSpec)

    @property
    def methods(self) -> Mapping[str, MethodSpec]:
        """Every method, by name."""
        return {name: self._methods()[name] for name in sorted(self._methods())}

    @property
    def datasets(self) -> Mapping[str, DatasetSpec]:
        """Every dataset, by name."""
        return self._sorted("bench_datasets")

    @property
    def localizers(self) -> Mapping[str, LocalizerSpec]:
        """Every localizer, by name."""
        return self._sorted("bench_localizers")

    @property
    def prompts(self) -> Mapping[str, PromptSpec]:
        """Every prompt type, by name."""
        return self._sorted("bench_prompts")

    @property
    def protocols(self) -> Mapping[str, ProtocolSpec]:
        """Every protocol, by name."""
        return self._sorted("bench_protocols")

    @property
    def weight_sources(self) -> Mapping[str, WeightSource]:
        """Every weight source, by name."""
        return self._sorted("bench_weights")

    @property
    def commands(self) -> Mapping[str, CommandSpec]:
        """Every command that plugins add, by name."""
        return self._sorted("bench_commands")

    def _typed(self, hook: str, name: str, kind: type[Spec]) -> Spec:
        spec = self.find(hook, name)
        if not isinstance(spec, kind):  # checked when it was collected
            raise TypeError(f"{hook} holds a {type(spec).__name__} under '{name}'")
        return spec

    def _sorted(self, hook: str) -> dict[str, Any]:
        return {name: self._records[hook][name] for name in sorted(self._records[hook])}

    def _methods(self) -> dict[str, MethodSpec]:
        recipes: dict[str, MethodSpec] = dict(self._records["bench_methods"])
        named = {method.extractor for method in recipes.values()}
        for name, extractor in self._records["bench_extractors"].items():
            if name not in named and name not in recipes and ("bench_methods", name) not in self._clashes:
                prompt = "empty" if extractor.prompt_kinds else "none"
                recipes[name] = MethodSpec(name=name, extractor=name, prompt=prompt, description=extractor.description)
                self._origins.setdefault(("bench_methods", name), self._origins["bench_extractors", name])
        return recipes

    # ----------------------------------------------------------------------------------------------------------- loading

    def load(self, name: str, distribution: str, version: str, importer: Callable[[], object]) -> None:
        """Imports and registers one plugin; whatever goes wrong becomes its status."""
        plugin = Plugin(name, distribution, version, "loaded")
        try:
            module = importer()
            needs = getattr(module, "bench_api", hookspecs.BENCH_API)
            if needs != hookspecs.BENCH_API:
                raise UserError(f"needs bench API {needs}, this is {hookspecs.BENCH_API}; install a matching version")
            self.manager.register(module, name=name)
            self.manager.check_pending()
            records = {hook: _collect(self.manager, module, hook) for hook in HOOKS}
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin is anybody's code, and must not stop the others
            if self.manager.has_plugin(name):
                self.manager.unregister(name=name)
            self.plugins.append(replace(plugin, status="failed", reason=_reason(error)))
            return
        hooks = tuple(sorted(caller.name for caller in self.manager.get_hookcallers(module) or ()))
        self.plugins.append(self._keep(replace(plugin, hooks=hooks), records))

    def skip(self, name: str, distribution: str, version: str, status: Status, reason: str) -> None:
        """Lists a plugin that is not loaded."""
        self.plugins.append(Plugin(name, distribution, version, status, reason=reason))

    def _keep(self, plugin: Plugin, records: Mapping[str, Sequence[Any]]) -> Plugin:
        clashes = []
        for hook, specs in records.items():
            for spec in specs:
                key = (hook, spec.name)
                if key in self._origins:
                    self._clashes.setdefault(key, [self._origins[key]]).append(plugin)
                    clashes.append(f"{_word(hook)} '{spec.name}' clashes with {self._origins[key].origin}")
                else:
                    self._records[hook][spec.name] = spec
                    self._origins[key] = plugin
        return replace(plugin, reason="; ".join(clashes))


def load_plugins(blocked: Iterable[str] = (), found: Iterable[EntryPoint] | None = None) -> Host:
    """The built-in plugins, then every installed entry point of group `bench`, in order of name.

    Args:
        blocked: names that are not even imported, besides those in the environment variable BENCH_BLOCK (separated by commas).
        found: entry points to load instead of the installed ones.

    Raises:
        UserError: if a blocked name is no plugin's.
    """
    from_environment = [name for name in os.environ.get("BENCH_BLOCK", "").split(",") if name]
    skipped = {*blocked, *from_environment}
    host = Host()
    version = _own_version()
    points = sorted(entry_points(group=hookspecs.PROJECT) if found is None else found, key=lambda point: (point.name, point.value))
    unknown = sorted(set(blocked) - {*BUILTIN, *(point.name for point in points)})
    if unknown:
        raise unknown_name("plugin", unknown[0], [*BUILTIN, *(point.name for point in points)])
    reason = "blocked by --no-plugin or BENCH_BLOCK"
    for name, module in BUILTIN.items():
        if name in skipped:
            host.skip(name, DISTRIBUTION, version, "blocked", reason)
        else:
            host.load(name, DISTRIBUTION, version, lambda module=module: importlib.import_module(module))  # type: ignore[misc]
    for point in points:
        distribution, at = (point.dist.name, point.dist.version) if point.dist else ("unknown", "unknown")
        earlier = next((plugin for plugin in host.plugins if plugin.name == point.name), None)
        if point.name in skipped:
            host.skip(point.name, distribution, at, "blocked", reason)
        elif earlier:
            host.skip(point.name, distribution, at, "shadowed", f"{earlier.origin} has the same name; uninstall one of them")
        else:
            host.load(point.name, distribution, at, point.load)
    return host


def _collect(manager: pluggy.PluginManager, module: object, hook: str) -> list[Any]:
    """What one plugin's implementation of a collecting hook returns, checked."""
    caller = getattr(manager.hook, hook)
    kind = HOOKS[hook]
    specs: list[Any] = []
    for implementation in caller.get_hookimpls():
        if implementation.plugin is module:
            specs.extend(implementation.function())
    for spec in specs:
        if not isinstance(spec, kind):
            raise UserError(f"{hook} returned a {type(spec).__name__}, expected a list of {kind.__name__}")
    names = [spec.name for spec in specs]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise UserError(f"{hook} returned '{repeated[0]}' twice")
    return specs


def _word(hook: str) -> str:
    """What messages call a record of a collecting hook."""
    return "weight source" if hook == "bench_weights" else hook.removeprefix("bench_").removesuffix("s")


def _reason(error: BaseException) -> str:
    first = (str(error).strip().splitlines() or [""])[0]
    return first if isinstance(error, UserError) else f"{type(error).__name__}: {first}".rstrip(": ")


def _own_version() -> str:
    from harness import __version__

    return __version__
