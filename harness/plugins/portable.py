"""Records of plugins that can be handed to another process."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import Any, Generic, TypeVar

from harness import hookspecs
from harness.errors import UserError
from harness.plugins.host import Host
from harness.plugins.registry import Plugin, Registry
from harness.plugins.version import plugin_version

Spec = TypeVar("Spec")


@dataclass(frozen=True, eq=False)
class PortableSpec(Generic[Spec]):
    """A plugin's spec, with the plugin that brought it.

    It pickles as the names of both. The other process loads that plugin and takes its spec of that name, so
    the plugin must be installed there too, with the same code. By value a spec would not always pickle:
    those of other authors' plugins hold lambdas and local functions.

    Attributes:
        hook: the hook that the plugin brought it through, such as `bench_extractors`.
        version: the plugin with its version, as `plugin_version` writes it; predictions depend on it.
    """

    spec: Spec
    hook: str
    plugin: Plugin
    version: str

    def __reduce__(self) -> tuple[object, ...]:
        name = getattr(self.spec, "name", "")
        if not self.plugin.source:
            raise UserError(
                f"{self.plugin.origin}: is not installed, so another process cannot load '{name}'; "
                "install it as a package with an entry point"
            )
        return load_spec, (self.hook, name, self.plugin, self.version)


def portable_spec(host: Host, registry: Registry[Spec], name: str) -> PortableSpec[Spec]:
    """Returns a spec with the plugin that brought it. Raises `UserError` for an unknown name."""
    spec = registry[name]
    return PortableSpec(spec, registry.hook, registry.origin(name), plugin_version(host, registry, name))


def load_spec(hook: str, name: str, plugin: Plugin, version: str) -> PortableSpec[Any]:
    """Loads one plugin, without the others that are installed, and returns its spec of a name.

    Raises:
        UserError: the plugin cannot be loaded here, lacks the spec, or has other code.
    """
    # A host of its own: clashes with other plugins were settled where the cell was resolved.
    host = Host()
    entry_point = EntryPoint(plugin.name, plugin.source, hookspecs.PROJECT)
    host.load(plugin.name, plugin.distribution, plugin.version, entry_point.load, plugin.source)
    loaded = host.plugins[-1]
    if loaded.status != "loaded":
        raise UserError(
            f"{plugin.origin}: cannot be loaded in this process ({loaded.reason}); install it here"
        )
    portable = portable_spec(host, host.registries[hook], name)
    # The version has a hash of other authors' code: changed code of one version gives other numbers.
    if portable.version != version:
        raise UserError(
            f"{portable.version}: the cell was resolved by {version}; "
            "install the same version on both machines"
        )
    return portable
