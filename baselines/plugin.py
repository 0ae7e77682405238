"""The plugin that brings the baselines."""

from __future__ import annotations

from baselines import handcrafted, position
from harness.hookspecs import hookimpl
from harness.specs import ExtractorSpec, MethodSpec


@hookimpl
def bench_extractors() -> list[ExtractorSpec]:
    """Feature extractors that need no download."""
    return [position.EXTRACTOR, handcrafted.EXTRACTOR]


@hookimpl
def bench_methods() -> list[MethodSpec]:
    """Their recipes."""
    return [position.METHOD, handcrafted.METHOD]
