"""The specs of one hook, by name, and the plugins that brought them."""

from __future__ import annotations

import os
from collections.abc import ItemsView, Iterator, Mapping, Sequence, ValuesView
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from harness.errors import UserError, unknown_name
from harness.specs import NO_PROMPT, DatasetSpec, ExtractorSpec, MethodSpec

Status = Literal["loaded", "failed", "blocked", "shadowed"]

Spec = TypeVar("Spec")

_KINDS = {"bench_weights": "weight source", "bench_reported": "set of reported numbers"}
"""Hook -> singular of what it holds, for messages."""

BUILTIN = {
    "harness": "harness.builtin",
    "baselines": "baselines.plugin",
    "matchers": "matchers.plugin",
    "heads": "heads.plugin",
    "sd4match": "sd4match_plugin.plugin",
}

SESSION = "python-session"
"""Name of the plugin that an object of a Python session stands for, in messages and records."""
"""Plugins that come with this distribution: name -> module."""


@dataclass(frozen=True)
class Plugin:
    """One plugin, as `bench plugins` lists it.

    Attributes:
        distribution, version: the installed package it comes from.
        hooks: hooks it implements.
        reason: the reason why it is not loaded, or a fault of a loaded one.
        source: its module as an entry point names it, `package.module` or `package.module:object`; empty for
            a plugin that is not installed.
    """

    name: str
    distribution: str
    version: str
    status: Status
    hooks: tuple[str, ...] = ()
    reason: str = ""
    source: str = ""

    @property
    def origin(self) -> str:
        """The plugin and its package, for messages."""
        return f"plugin '{self.name}' ({self.distribution} {self.version})"


@dataclass(frozen=True)
class Claim:
    """A name that a plugin brought a spec under."""

    kind: str
    name: str
    plugin: Plugin

    def __str__(self) -> str:
        return f"{self.kind} '{self.name}'"


class Registry(Mapping[str, Spec], Generic[Spec]):
    """The specs that one collecting hook brought, in order of name.

    `registry[name]` raises a `UserError` for a name that nobody brought (with the nearest names, and the
    plugins that failed and might have brought it), or that two plugins brought.

    Args:
        hook: name of the hook, such as `bench_extractors`.
        spec_class: class of its specs.
        plugins: every plugin of the process, for messages; grows as they are loaded.
    """

    def __init__(self, hook: str, spec_class: type[Spec], plugins: Sequence[Plugin]) -> None:
        self.hook, self.spec_class = hook, spec_class
        self._plugins = plugins
        self._specs: dict[str, Spec] = {}
        self._origins: dict[str, Plugin] = {}
        self._names: dict[str, str] = {}
        self._clashes: dict[str, str] = {}

    @property
    def kind(self) -> str:
        """Singular of what it holds, for messages: `extractor`, `weight source`."""
        # Hooks that are not called after one of their records.
        if self.hook in _KINDS:
            return _KINDS[self.hook]
        return self.hook.removeprefix("bench_").removesuffix("s")

    def add(self, name: str, spec: Spec, plugin: Plugin) -> str:
        """Adds a spec.

        Returns:
            A message where another plugin has brought one of that name, otherwise an empty string.
        """
        earlier = self.same_name(name)
        if earlier is None:
            self._specs[name] = spec
            self._origins[name] = plugin
            self._names[name.casefold()] = name
            return ""
        first = Claim(self.kind, earlier, self._origins[earlier])
        return self.add_clash(first, Claim(self.kind, name, plugin))

    def same_name(self, name: str) -> str | None:
        """The name of a spec that a user might mean by this one: equal but for capitals. None without one."""
        return self._names.get(name.casefold())

    def add_clash(self, first: Claim, second: Claim) -> str:
        """Refuses a name from now on, to a user who asks for it: the plugins' other specs are of use.

        Returns:
            A message for the second plugin.
        """
        owners = f"{first.plugin.origin} and {second.plugin.origin}"
        if str(first) == str(second):
            problem, clash = f"{first} is offered by both {owners}", f"{second} clashes with"
        else:
            problem = f"{first} and {second} have one name, and are offered by {owners}"
            clash = f"{second} clashes with {first} of"
        # Whatever comes third is told once these two are parted.
        self._clashes.setdefault(first.name.casefold(), f"{problem}; block one of them with --no-plugin NAME")
        return f"{clash} {first.plugin.origin}"

    def origin(self, name: str) -> Plugin:
        """The plugin that brought a spec. Raises `KeyError`."""
        return self._origins[name]

    def is_own(self, name: str) -> bool:
        """Says whether a plugin brought a spec of this very name with this hook."""
        return name in self._specs

    def __getitem__(self, name: str) -> Spec:
        if clash := self._clashes.get(name.casefold()):
            raise UserError(clash)
        spec = self._find(name)
        if spec is None:
            raise UserError(f"{unknown_name(self.kind, name, self)}{self.missing_plugins(name)}")
        return spec

    def _find(self, name: str) -> Spec | None:
        """The spec that a user means by a name; more than those listed, perhaps."""
        return self._all().get(name)

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._all()))

    def __len__(self) -> int:
        return len(self._all())

    def __contains__(self, name: object) -> bool:
        return name in self._all()

    # Whoever lists everything did not ask for a name that two plugins offer: the first one is listed.

    def get(self, name: str, default: Any = None) -> Any:
        """The spec called `name`, that of the first plugin where two brought it, or `default`."""
        return self._all().get(name, default)

    def values(self) -> ValuesView[Spec]:
        """All specs in order of name, those of the first plugin where two brought one."""
        return self._sorted().values()

    def items(self) -> ItemsView[str, Spec]:
        """Names and specs in order of name, those of the first plugin where two brought one."""
        return self._sorted().items()

    def _sorted(self) -> dict[str, Spec]:
        return dict(sorted(self._all().items(), key=lambda item: item[0]))

    def _all(self) -> Mapping[str, Spec]:
        return self._specs

    def missing_plugins(self, name: str) -> str:
        """Names the plugins that are not loaded and might have brought a spec, in a few words.

        Args:
            name: of the spec; the folder that `bench new-plugin` makes for it may not be installed.
        """
        absent: dict[Status, list[Plugin]] = {"failed": [], "shadowed": [], "blocked": []}
        for plugin in self._plugins:
            if plugin.status in absent:
                absent[plugin.status].append(plugin)
        text = ""
        for status in ("failed", "shadowed"):
            plugins = absent[status]
            verb = {"failed": "failed", "shadowed": "is shadowed"}[status]
            if len(plugins) == 1:
                text += f"; {plugins[0].origin} {verb}: {plugins[0].reason}"
            elif plugins:
                names = ", ".join(plugin.name for plugin in plugins)
                text += f"; plugins {status}: {names} ('bench plugins' says why)"
        text += self._not_installed(name)
        if absent["blocked"]:
            text += f"; plugins blocked: {', '.join(plugin.name for plugin in absent['blocked'])}"
        return text

    def _not_installed(self, name: str) -> str:
        """Names the folder that `bench new-plugin NAME` made here, where nobody has installed it."""
        folder = f"bench-{name}"
        if any(plugin.name == name for plugin in self._plugins):
            return ""
        # Not `Path.is_file`, which raises for a name that is too long.
        if not os.path.isfile(f"{folder}/pyproject.toml"):  # noqa: PTH113
            return ""
        return f"; {folder} is here and not installed: python -m pip install --editable {folder}"


class DatasetRegistry(Registry[DatasetSpec]):
    """Datasets; who names a folder in the place of a dataset is told how a folder is named."""

    def __getitem__(self, name: str) -> DatasetSpec:
        try:
            return super().__getitem__(name)
        except UserError as error:
            # Not `Path.exists`, which raises for a name that is too long.
            if self._find(name) is None and os.path.exists(name):  # noqa: PTH110
                raise UserError(f"{error}; for the pictures and pairs in {name}: folder={name}") from None
            raise


class MethodRegistry(Registry[MethodSpec]):
    """Methods, and a method for each extractor, under the extractor's name.

    Only those of extractors that no method names are listed. The others can be asked for, so that a further
    recipe takes no method away.
    """

    def __init__(self, plugins: Sequence[Plugin], extractors: Registry[ExtractorSpec]) -> None:
        super().__init__("bench_methods", MethodSpec, plugins)
        self._extractors = extractors

    def origin(self, name: str) -> Plugin:
        """The plugin that brought a method, or the extractor that is one. Raises `KeyError`."""
        if name in self._origins:
            return self._origins[name]
        return self._extractors.origin(name)

    def _all(self) -> Mapping[str, MethodSpec]:
        methods = dict(self._specs)
        used = {method.extractor for method in methods.values()}
        for name in self._extractors:
            if name not in used and name not in methods:
                methods[name] = _own_method(self._extractors.get(name))
        return methods

    def _find(self, name: str) -> MethodSpec | None:
        method = super()._find(name)
        extractor = self._extractors.get(name)
        return _own_method(extractor) if method is None and extractor else method


def _own_method(extractor: ExtractorSpec) -> MethodSpec:
    """The method that an extractor is by itself."""
    prompt = "empty" if extractor.prompt_kinds else NO_PROMPT
    return MethodSpec(
        name=extractor.name,
        extractor=extractor.name,
        prompt=prompt,
        description=extractor.description,
        citation=extractor.citation,
    )
