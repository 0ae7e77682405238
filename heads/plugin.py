"""The plugin that brings the methods with a trained head."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.hookspecs import hookimpl
from harness.specs import ExtractorSpec, LocalizerSpec, MatcherSpec, MethodSpec, TrainerSpec, WeightSource
from heads import catalogue
from heads.training.objectives import MODULES

if TYPE_CHECKING:
    import click


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


@hookimpl
def bench_trainers() -> list[TrainerSpec]:
    """`bench train` for the heads; none where nothing can be trained."""
    trainer = TrainerSpec(
        name="heads",
        methods=tuple(MODULES),
        make=_train,
        description="Train a head on the features of a frozen backbone.",
    )
    return [trainer] if MODULES else []


def _train(method: str) -> click.Command:
    from matchers.commands.train import train_command

    return train_command(method, MODULES, "--weights paper")
