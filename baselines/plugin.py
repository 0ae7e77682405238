"""The plugin that brings the baselines."""

from __future__ import annotations

from baselines import weights
from baselines.methods import cleandift, dift, position, sd_dino, vit
from baselines.methods import dino as dino_methods
from baselines.methods import hog as handcrafted
from baselines.prompts import spec as prompts
from harness.hookspecs import hookimpl
from harness.specs import ExtractorSpec, MethodSpec, PromptSpec, WeightSource


@hookimpl
def bench_extractors() -> list[ExtractorSpec]:
    """Registers the feature extractors."""
    return [
        position.EXTRACTOR,
        handcrafted.EXTRACTOR,
        dift.EXTRACTOR,
        cleandift.EXTRACTOR,
        *sd_dino.EXTRACTORS,
        *dino_methods.EXTRACTORS,
        vit.EXTRACTOR,
    ]


@hookimpl
def bench_methods() -> list[MethodSpec]:
    """Registers their recipes."""
    return [
        position.METHOD,
        handcrafted.METHOD,
        dift.METHOD,
        cleandift.METHOD,
        *sd_dino.METHODS,
        *dino_methods.METHODS,
        vit.METHOD,
    ]


@hookimpl
def bench_prompts() -> list[PromptSpec]:
    """Registers prompts that others published."""
    return list(prompts.PROMPTS)


@hookimpl
def bench_weights() -> list[WeightSource]:
    """Registers the sources of their weights, the bundled ones included."""
    return weights.SOURCES
