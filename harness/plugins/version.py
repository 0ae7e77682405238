"""The version of a plugin's code, which predictions depend on."""

from __future__ import annotations

import hashlib
import sys
from functools import cache
from pathlib import Path
from typing import Any

from harness.plugins.host import Host
from harness.plugins.loading import BUILTIN
from harness.plugins.registry import Registry


def plugin_version(host: Host, registry: Registry[Any], name: str) -> str:
    """The plugin that brought a spec, with its package and version.

    Plugins of other authors have a hash of their code, too.
    An author changes a plugin many times before its version; predictions of yesterday's code must not pass
    for today's.
    """
    plugin = registry.origin(name)
    package = f"{plugin.distribution} {plugin.version}"
    # The commit of the built-in plugins' code is recorded with a cell; see `harness.environment`.
    if plugin.name not in BUILTIN:
        code = _code_hash(host.manager.get_plugin(plugin.name))
        if code:
            package += f", code {code}"
    return f"{plugin.name} ({package})"


@cache
def _code_hash(module: object) -> str:
    """First hex digits of a hash over the source of a module's top package; empty without a source."""
    # The whole package, not the module with the hooks: the code that computes is mostly elsewhere in it.
    top_name = str(getattr(module, "__name__", "")).partition(".")[0]
    file = getattr(sys.modules.get(top_name), "__file__", None)
    if file is None:
        return ""
    path = Path(file)
    sources = [path]
    if path.name == "__init__.py":
        sources = sorted(path.parent.rglob("*.py"))
    digest = hashlib.sha256()
    for source in sources:
        # With the name and a separator: moving text from one file to another gives another hash.
        digest.update(f"{source.relative_to(path.parent)}\x1f".encode() + source.read_bytes())
    return digest.hexdigest()[:8]
