"""The plugin that brings SD4Match."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.hookspecs import hookimpl
from harness.specs import CommandSpec, MethodSpec, PromptSpec, TrainerSpec, WeightSource
from sd4match_plugin import methods

if TYPE_CHECKING:
    import click


@hookimpl
def bench_methods() -> list[MethodSpec]:
    """Single, Class and CPM."""
    return list(methods.METHODS)


@hookimpl
def bench_prompts() -> list[PromptSpec]:
    """Their prompts, which other methods on Stable Diffusion may use as well."""
    return list(methods.PROMPTS)


@hookimpl
def bench_weights() -> list[WeightSource]:
    """Tuned prompts: the authors', and those that come with the package."""
    return list(methods.WEIGHTS)


@hookimpl
def bench_commands() -> list[CommandSpec]:
    """`bench ablation` and `bench prompt`."""
    return [
        CommandSpec(
            name="ablation", make=_ablation, description="Tune and compare the variants of sd4match-cpm."
        ),
        CommandSpec(name="prompt", make=_prompt, description="Pictures that a prompt generates."),
    ]


@hookimpl
def bench_trainers() -> list[TrainerSpec]:
    """`bench train` for their prompts."""
    names = tuple(method.name for method in methods.METHODS)
    return [
        TrainerSpec(
            name="prompts",
            methods=names,
            make=_train,
            description="Tune a prompt on a dataset with keypoints.",
        )
    ]


def _train(method: str) -> click.Command:
    from sd4match_plugin.commands.train import train_command

    return train_command(method)


def _ablation() -> click.Command:
    from sd4match_plugin.commands.ablation import ablation_command

    return ablation_command()


def _prompt() -> click.Command:
    from sd4match_plugin.commands.prompt import prompt_command

    return prompt_command()
