"""The plugin that brings the matchers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.hookspecs import hookimpl
from harness.specs import ExtractorSpec, LocalizerSpec, MatcherSpec, MethodSpec, TrainerSpec, WeightSource
from matchers import catalogue
from matchers.training.objectives import MODULES

if TYPE_CHECKING:
    import click


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


@hookimpl
def bench_trainers() -> list[TrainerSpec]:
    """`bench train` for their networks."""
    return [
        TrainerSpec(
            name="matchers",
            methods=tuple(MODULES),
            make=_train,
            description="Train a network that matches two images, from a backbone's weights.",
        )
    ]


def _train(method: str) -> click.Command:
    from matchers.commands.train import train_command

    return train_command(method)
