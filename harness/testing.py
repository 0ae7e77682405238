"""Checks for the tests of plugins: those of `bench doctor`, with an `AssertionError` where one fails.

from harness.testing import check_plugin

import bench_mine


def test_contract():
    check_plugin(bench_mine)
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from harness.doctor.examine import Circumstances, examine_kind
from harness.doctor.findings import Finding
from harness.errors import BenchError
from harness.hookspecs import hookimpl
from harness.messages import counted
from harness.plugins.host import Host
from harness.plugins.loading import load_plugins
from harness.plugins.module_files import module_name
from harness.plugins.registry import Plugin
from harness.specs import (
    DatasetSpec,
    ExtractorSpec,
    LocalizerSpec,
    MatcherSpec,
    MethodSpec,
    PromptSpec,
    ProtocolSpec,
    ReportedSpec,
    WeightSource,
)
from harness.weights.choice import WeightChoice

__all__ = [
    "check_dataset",
    "check_extractor",
    "check_localizer",
    "check_matcher",
    "check_method",
    "check_plugin",
    "check_prompt",
    "check_protocol",
]

_HOOKS = {
    ExtractorSpec: "bench_extractors",
    LocalizerSpec: "bench_localizers",
    MatcherSpec: "bench_matchers",
    PromptSpec: "bench_prompts",
    MethodSpec: "bench_methods",
    DatasetSpec: "bench_datasets",
    ProtocolSpec: "bench_protocols",
    WeightSource: "bench_weights",
    ReportedSpec: "bench_reported",
}

Spec = (
    ExtractorSpec
    | LocalizerSpec
    | MatcherSpec
    | PromptSpec
    | MethodSpec
    | DatasetSpec
    | ProtocolSpec
    | WeightSource
    | ReportedSpec
)

OwnWeights = Mapping[str, str | Path]

NO_WEIGHTS: OwnWeights = MappingProxyType({})

_TESTED = "under test"
"""Name of the plugin that is made of what a test hands over."""


def check_plugin(
    plugin: object, *, data_root: str | Path = "data", weights: OwnWeights = NO_WEIGHTS
) -> list[Finding]:
    """Checks all that a plugin brings: methods, extractors, matchers, localizers, prompts and so on.

    It need not be installed. Where it is, what the test hands over is checked and not what is installed.

    Args:
        plugin: the module, or the object, that has the hooks.
        data_root: folder that holds the datasets' own folders.
        weights: weight source -> a file or folder to take in its place, such as a small network for tests.

    Returns:
        What was found, with what is weak and what does not apply.

    Raises:
        AssertionError: a check was not passed, or the plugin cannot be loaded. It says what and why.
    """
    host = _host_with(plugin, _names_of(plugin))
    loaded = host.plugins[-1]
    if loaded.reason:
        raise AssertionError(f"plugin {loaded.status}: {loaded.reason}")
    circumstances = _circumstances(weights, Path(data_root))
    findings: list[Finding] = []
    for kind, name in _brought(host, loaded):
        findings += _checked(host, kind, name, circumstances)
    return findings


def check_method(name: str, *, weights: OwnWeights = NO_WEIGHTS) -> list[Finding]:
    """Checks a method of an installed plugin by name. Returns and raises as `check_plugin`."""
    return _checked(load_plugins(), "method", name, _circumstances(weights))


def check_extractor(spec: ExtractorSpec, *beside: Spec, weights: OwnWeights = NO_WEIGHTS) -> list[Finding]:
    """Checks an extractor. Returns and raises as `check_plugin`.

    Args:
        beside: other specs that it needs, such as its `WeightSource`.
        weights: as those of `check_plugin`.
    """
    return _check_spec("method", spec, beside, _circumstances(weights))


def check_localizer(spec: LocalizerSpec) -> list[Finding]:
    """Checks a localizer. Returns and raises as `check_plugin`."""
    return _check_spec("localizer", spec, (), Circumstances())


def check_matcher(spec: MatcherSpec, *beside: Spec, weights: OwnWeights = NO_WEIGHTS) -> list[Finding]:
    """Checks a matcher. Returns and raises as `check_plugin`.

    Args:
        beside: other specs that it needs: an extractor whose maps it reads, and their weight sources.
        weights: as those of `check_plugin`.
    """
    return _check_spec("matcher", spec, beside, _circumstances(weights))


def check_prompt(spec: PromptSpec, *beside: Spec, weights: OwnWeights = NO_WEIGHTS) -> list[Finding]:
    """Checks a prompt type. Returns and raises as `check_plugin`.

    Args:
        beside: other specs that it needs, such as its `WeightSource` or the extractor that takes it.
        weights: as those of `check_plugin`.
    """
    return _check_spec("prompt", spec, beside, _circumstances(weights))


def check_protocol(spec: ProtocolSpec) -> list[Finding]:
    """Checks a protocol. Returns and raises as `check_plugin`."""
    return _check_spec("protocol", spec, (), Circumstances())


def check_dataset(spec: DatasetSpec, folder: str | Path | None = None) -> list[Finding]:
    """Checks all splits of a dataset. Returns and raises as `check_plugin`.

    Args:
        folder: the dataset's own; None for its home below `data`.
    """
    host = _host_of((spec,))
    # By the place, as the user of a command would name it.
    name = f"{spec.name}={folder}" if folder is not None else spec.name
    return _checked(host, "dataset", name, Circumstances())


def _circumstances(weights: OwnWeights, data_root: Path = Path("data")) -> Circumstances:
    own = {name: Path(path) for name, path in weights.items()}
    return Circumstances(weights=WeightChoice(own=own), data_root=data_root)


def _check_spec(kind: str, spec: Spec, beside: Sequence[Spec], circumstances: Circumstances) -> list[Finding]:
    return _checked(_host_of((spec, *beside)), kind, spec.name, circumstances)


def _checked(host: Host, kind: str, name: str, circumstances: Circumstances) -> list[Finding]:
    """Findings on one spec. Raises `AssertionError` where one is a failure."""
    try:
        findings = list(examine_kind(host, kind, name, circumstances))
    except BenchError as error:
        raise AssertionError(f"{kind} {name}: {error}") from error
    failures = [finding for finding in findings if finding.result == "failed"]
    if failures:
        raise AssertionError("\n".join(_lines(f"{kind} {name}", failures)))
    return findings


def _lines(subject: str, failures: Sequence[Finding]) -> Iterator[str]:
    yield f"{subject}: {counted(len(failures), 'check')} failed"
    for failure in failures:
        yield f"✗ {failure.check}: {failure.detail}"
    # Faults of one cause have one traceback.
    yield from dict.fromkeys(failure.traceback for failure in failures if failure.traceback)


def _host_of(specs: Sequence[Spec]) -> Host:
    """A host with the installed plugins and one more, which brings some specs."""
    plugin: Any = _Bundle()
    module = module_name(getattr(specs[0], "make", None) or getattr(specs[0], "open", None))
    # What an import costs is asked of plugins' modules alone: that of a test may import what it likes.
    if any(name.startswith("bench_") for name in vars(sys.modules.get(module, plugin))):
        plugin.__name__ = module
    for kind, hook in _HOOKS.items():
        if chosen := [spec for spec in specs if isinstance(spec, kind)]:
            setattr(plugin, hook, hookimpl(_constant(chosen)))
    host = _host_with(plugin, {(_HOOKS[type(spec)], spec.name.casefold()) for spec in specs})
    loaded = host.plugins[-1]
    if loaded.reason:
        raise AssertionError(loaded.reason)
    return host


class _Bundle:
    """A plugin that brings what a test hands over."""


def _constant(specs: Sequence[Spec]) -> Callable[[], list[Spec]]:
    return lambda: list(specs)


def _host_with(plugin: object, names: Iterable[tuple[str, str]]) -> Host:
    """A host with the installed plugins and one more. Installed ones that bring one of its names stay out.

    Args:
        names: (hook, name without capitals) of what the plugin brings.
    """
    host = load_plugins()
    taken: set[str] = set()
    for hook, name in names:
        registry = host.registries[hook]
        if earlier := registry.same_name(name):
            taken.add(registry.origin(earlier).name)
    if taken:
        host = load_plugins(blocked=taken)
    host.load(_TESTED, _TESTED, "0", lambda: plugin)
    return host


def _names_of(plugin: object) -> set[tuple[str, str]]:
    """(hook, name without capitals) of all that a plugin brings."""
    host = Host()
    host.load(_TESTED, _TESTED, "0", lambda: plugin)
    names: set[tuple[str, str]] = set()
    for hook, registry in host.registries.items():
        # Of methods only those that it names: an extractor is one, too.
        names |= {(hook, name.casefold()) for name in registry if registry.is_own(name)}
    return names


def _brought(host: Host, plugin: Plugin) -> list[tuple[str, str]]:
    """(kind, name) of all that a plugin brought and that can be checked."""
    brought: list[tuple[str, str]] = []
    used: set[tuple[str, str]] = set()
    for name, method in host.methods.items():
        if host.methods.is_own(name) and host.methods.origin(name).name == plugin.name:
            brought.append(("method", name))
            used |= {("method", method.extractor), ("matcher", method.matcher)}
    for kind, registry in (
        ("method", host.extractors),
        ("matcher", host.matchers),
        ("localizer", host.localizers),
        ("prompt", host.prompts),
        ("dataset", host.datasets),
        ("protocol", host.protocols),
    ):
        for name in registry:
            if registry.origin(name).name == plugin.name and (kind, name) not in used:
                brought.append((kind, name))
    return brought
