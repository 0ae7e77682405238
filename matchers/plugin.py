"""The plugin that brings the matchers."""

from __future__ import annotations

from harness.hookspecs import hookimpl
from harness.specs import ExtractorSpec, LocalizerSpec, MatcherSpec, MethodSpec, WeightSource
from matchers import catalogue


@hookimpl
def bench_extractors() -> list[ExtractorSpec]:
    """Registers what encodes a picture for them."""
    return list(catalogue.EXTRACTORS)


@hookimpl
def bench_matchers() -> list[MatcherSpec]:
    """Registers the matchers."""
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
