"""The specs of one hook, by name, and the plugins that brought them."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, Mapping, Sequence, ValuesView
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from harness.errors import UserError, unknown_name
from harness.specs import NO_PROMPT, ExtractorSpec, MethodSpec

Status = Literal["loaded", "failed", "blocked", "shadowed"]

Spec = TypeVar("Spec")


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
        self._clashes: dict[str, list[Plugin]] = {}

    @property
    def kind(self) -> str:
        """Singular of what it holds, for messages: `extractor`, `weight source`."""
        # The only hook that is not called after one of its records.
        if self.hook == "bench_weights":
            return "weight source"
        return self.hook.removeprefix("bench_").removesuffix("s")

    def add(self, name: str, spec: Spec, plugin: Plugin) -> str:
        """Adds a spec.

        Returns:
            A message where another plugin has brought one of that name, otherwise an empty string.
        """
        owner = self._origins.get(name)
        if owner is None:
            self._specs[name] = spec
            self._origins[name] = plugin
            return ""
        # An error only for a user who asks for this name: the plugins' other records are of use.
        self._clashes.setdefault(name, [owner]).append(plugin)
        return f"{self.kind} '{name}' clashes with {owner.origin}"

    def origin(self, name: str) -> Plugin:
        """The plugin that brought a spec. Raises `KeyError`."""
        return self._origins[name]

    def __getitem__(self, name: str) -> Spec:
        if name in self._clashes:
            owners = " and ".join(plugin.origin for plugin in self._clashes[name])
            raise UserError(
                f"{self.kind} '{name}' is offered by both {owners}; block one of them with --no-plugin NAME"
            )
        spec = self._all().get(name)
        if spec is None:
            raise UserError(f"{unknown_name(self.kind, name, self)}{self._missing_plugins()}")
        return spec

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

    def _missing_plugins(self) -> str:
        """Names the plugins that are not loaded and might have brought a spec."""
        events = {"failed": " failed", "blocked": "", "shadowed": " is shadowed"}
        text = ""
        for plugin in self._plugins:
            if plugin.status in events:
                text += f"; {plugin.origin}{events[plugin.status]}: {plugin.reason}"
        return text


class MethodRegistry(Registry[MethodSpec]):
    """Methods, and a method for each extractor that no method names, under the extractor's name."""

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
            if name in used or name in methods:
                continue
            extractor = self._extractors.get(name)
            prompt = "empty" if extractor.prompt_kinds else NO_PROMPT
            methods[name] = MethodSpec(
                name=name, extractor=name, prompt=prompt, description=extractor.description
            )
        return methods
