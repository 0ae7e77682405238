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
    code = "" if plugin.name in BUILTIN else _code_hash(host.manager.get_plugin(plugin.name))
    return f"{plugin.name} ({plugin.distribution} {plugin.version}{code and ', code '}{code})"


@cache
def _code_hash(module: object) -> str:
    """First hex digits of a hash over the source of a module's top package; empty without a source."""
    top = sys.modules.get(str(getattr(module, "__name__", "")).partition(".")[0])
    file = getattr(top, "__file__", None)
    if file is None:
        return ""
    path = Path(file)
    sources = sorted(path.parent.rglob("*.py")) if path.name == "__init__.py" else [path]
    digest = hashlib.sha256()
    for source in sources:
        digest.update(f"{source.relative_to(path.parent)}\x1f".encode() + source.read_bytes())
    return digest.hexdigest()[:8]
