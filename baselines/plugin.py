"""The plugin that brings the baselines."""

from __future__ import annotations

from baselines import dino_methods, handcrafted, position, weights
from harness.hookspecs import hookimpl
from harness.specs import ExtractorSpec, MethodSpec, WeightSource


@hookimpl
def bench_extractors() -> list[ExtractorSpec]:
    """Feature extractors."""
    return [position.EXTRACTOR, handcrafted.EXTRACTOR, *dino_methods.EXTRACTORS]


@hookimpl
def bench_methods() -> list[MethodSpec]:
    """Their recipes."""
    return [position.METHOD, handcrafted.METHOD, *dino_methods.METHODS]


@hookimpl
def bench_weights() -> list[WeightSource]:
    """Where their weights come from, the bundled ones included."""
    return weights.SOURCES
