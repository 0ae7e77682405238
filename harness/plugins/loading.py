"""Plugins loaded one by one, so that a broken one stops nothing."""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Iterable
from functools import partial
from importlib.metadata import EntryPoint, entry_points

from harness import hookspecs
from harness.errors import unknown_name
from harness.plugins.host import Host
from harness.plugins.registry import BUILTIN
from harness.version import __version__

_LOG = logging.getLogger(__name__)

DISTRIBUTION = "correspondence-bench"


def load_plugins(blocked: Iterable[str] = (), points: Iterable[EntryPoint] | None = None) -> Host:
    """The built-in plugins, then every installed entry point of group `bench`, in order of name.

    Args:
        blocked: names that are not even imported, besides those in the environment variable BENCH_BLOCK
            (separated by commas).
        points: entry points to load instead of the installed ones.

    Raises:
        UserError: a blocked name is not a plugin's.
    """
    skipped = {*blocked, *os.environ.get("BENCH_BLOCK", "").split(",")}
    host = Host()
    if points is None:
        points = entry_points(group=hookspecs.PROJECT)
    # The order of installed packages differs between machines; the one of loading must not.
    points = sorted(points, key=lambda point: (point.name, point.value))
    known = list(BUILTIN)
    for point in points:
        known.append(point.name)
    # Names from the environment are not checked: a setting of the shell may be shared by several installs.
    unknown = sorted(set(blocked) - set(known))
    if unknown:
        raise unknown_name("plugin", unknown[0], known)
    reason = "blocked by --no-plugin or BENCH_BLOCK"
    for name, module in BUILTIN.items():
        if name in skipped:
            host.skip(name, DISTRIBUTION, __version__, "blocked", reason)
        else:
            importer = partial(importlib.import_module, module)
            host.load(name, DISTRIBUTION, __version__, importer, module)
    for point in points:
        package = ("unknown", "unknown")
        if point.dist:
            package = (point.dist.name, point.dist.version)
        earlier = [plugin for plugin in host.plugins if plugin.name == point.name]
        if point.name in skipped:
            host.skip(point.name, *package, "blocked", reason)
        elif earlier:
            shadow = f"{earlier[0].origin} has the same name; uninstall one of them"
            host.skip(point.name, *package, "shadowed", shadow)
        else:
            host.load(point.name, *package, point.load, point.value)
    for plugin in host.plugins:
        reason = f" ({plugin.reason})" if plugin.reason else ""
        _LOG.info("%s: %s%s", plugin.origin, plugin.status, reason)
    return host
