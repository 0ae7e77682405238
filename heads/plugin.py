"""The plugin that brings the methods with a trained head."""

from __future__ import annotations

from harness.hookspecs import hookimpl
from harness.specs import ExtractorSpec, LocalizerSpec, MatcherSpec, MethodSpec, WeightSource
from heads import catalogue


@hookimpl
def bench_extractors() -> list[ExtractorSpec]:
    """Registers the extractors that hold a head."""
    return list(catalogue.EXTRACTORS)


@hookimpl
def bench_matchers() -> list[MatcherSpec]:
    """Registers what decides on a pair's features together."""
    return list(catalogue.MATCHERS)


@hookimpl
def bench_localizers() -> list[LocalizerSpec]:
    """Registers their authors' readings."""
    return list(catalogue.LOCALIZERS)


@hookimpl
def bench_methods() -> list[MethodSpec]:
    """Registers their recipes."""
    return list(catalogue.METHODS)


@hookimpl
def bench_weights() -> list[WeightSource]:
    """Registers the sources of their weights, the bundled ones included."""
    return list(catalogue.WEIGHTS)
