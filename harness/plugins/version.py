"""The version of a plugin's code, which predictions depend on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

from harness.environment import PACKAGES
from harness.files import parse_json
from harness.isolation.guarded import without_guard
from harness.isolation.guarded_specs import SpecMaker
from harness.isolation.reads import real_paths
from harness.plugins.closure import OURS, Code, add_distribution, code_of
from harness.plugins.code_files import file_digest
from harness.plugins.host import Host
from harness.plugins.module_files import find_distribution, find_module, module_name
from harness.plugins.registry import BUILTIN, Plugin, Registry
from harness.version import __version__

ENGINE = ("harness.features.pair_features", "harness.running.locate", "harness.running.pair_matches")
"""Modules of ours that every prediction goes through, with all that they import."""

WORK = "harness.running.predict"
"""The module that puts them to work; of what it imports, most only says what is to be done."""


def plugin_version(host: Host, registry: Registry[Any], name: str) -> str:
    """The plugin that brought a spec, with its package, version and a hash of the code behind the spec.

    An author changes a plugin many times before its version; predictions of yesterday's code must not pass
    for today's. Distributions that it imports are named with their versions, except torch and the others that
    the harness itself needs: another version of those changes numbers by rounding, as another machine does,
    and a record names them.
    """
    key = (registry.hook, name)
    if key not in host.versions:
        host.versions[key] = _describe(host, registry, name)
    return host.versions[key]


def _describe(host: Host, registry: Registry[Any], name: str) -> str:
    plugin = registry.origin(name)
    maker = getattr(registry.get(name), "make", None)
    make = without_guard(maker)
    parts = [f"{plugin.distribution} {plugin.version}"]
    with host.searching_for(plugin):
        makers = list(_maker_modules(make))
        # Of ours the code behind this very spec: a dataset's reader is no part of a method.
        code = code_of(makers) if plugin.name in BUILTIN else _plugin_code(host, plugin, makers)
    if isinstance(maker, SpecMaker):
        # What its objects read besides is told.
        maker.code = real_paths(code.places)
    if code.digest:
        parts.append(f"code {code.digest}")
    if others := _foreign_versions(code.distributions - {plugin.distribution}):
        parts.append(f"with {' '.join(others)}")
    return f"{plugin.name} ({', '.join(parts)})"


def engine_version() -> str:
    """Our own version, with a hash of the code that every cell's predictions go through."""
    code = code_of(ENGINE)
    work = find_module(WORK)
    if work and work.file:
        code.digests[WORK] = file_digest(work.file)
    return f"{OURS} {__version__}, code {code.digest}"


def _plugin_code(host: Host, plugin: Plugin, makers: Iterable[str]) -> Code:
    """The code of another author's plugin: its distribution, and all that it and the makers import."""
    hooks = host.manager.get_plugin(plugin.name)
    hooks_module = plugin.source.partition(":")[0] or getattr(hooks, "__name__", "") or module_name(hooks)
    own = Code()
    names = add_distribution(own, plugin.distribution, hooks_module)
    code = code_of([*names, *makers, *host.references.get(plugin.name, ())], {plugin.distribution})
    return Code({**own.digests, **code.digests}, code.distributions, places=own.places | code.places)


def _maker_modules(make: object) -> Iterator[str]:
    """Modules that a spec's `make` belongs to, or names, as `partial(make, "package.module")` does."""
    if isinstance(make, partial):
        for value in (make.func, *make.args, *make.keywords.values()):
            yield from _maker_modules(value)
    elif isinstance(make, str):
        if re.fullmatch(r"[A-Za-z_]\w*(\.\w+)+", make) and find_module(make):
            yield make
    elif callable(make):
        yield module_name(make)


def _foreign_versions(names: Iterable[str]) -> list[str]:
    """Names and versions of distributions, without those that the harness brings along."""
    ours = find_distribution(OURS)
    known = set(map(_canonical, PACKAGES))
    for requirement in (ours.requires if ours else None) or ():
        if "extra ==" not in requirement:
            known.add(_canonical(re.split(r"[^\w.-]", requirement)[0]))
    versions: list[str] = []
    for name in sorted(names):
        found = find_distribution(name)
        if found is not None and _canonical(name) not in known:
            versions.append(f"{name} {found.version}{_commit(found.read_text('direct_url.json'))}")
    return versions


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _commit(text: str | None) -> str:
    """The commit of a distribution that was installed from a repository: versions seldom change there."""
    try:
        commit = str(parse_json(text or "{}")["vcs_info"]["commit_id"])
    except (ValueError, KeyError, TypeError):  # installed from elsewhere, or a damaged file of pip's
        return ""
    return f"@{commit[:8]}" if commit else ""
