"""Data behind the numbers of a cell, for training and for choices: of its network, prompt and parameters."""

from __future__ import annotations

from typing import NamedTuple

from harness.plugins.host import Host
from harness.specs import LearnedFile, MethodSpec, PromptSpec
from harness.specs.tuning import USERS_CHOICE, without_repeats

UNKNOWN_DATASET = "?"
"""Stands for the training data of a learned prompt whose file does not say them."""

_ORDER = ("Z", "I", "K")
"""Zero-shot, image-level labels or pairs, keypoints: the strongest last."""


class Training(NamedTuple):
    """The supervision of network and prompt together, and the datasets they were trained on.

    Attributes:
        supervision: the stronger one of the two.
        dataset: `a` or `a+b`; None where nothing was trained.
    """

    supervision: str
    dataset: str | None


def training_of(
    host: Host, method: MethodSpec, prompt: PromptSpec | None, learned: LearnedFile | None
) -> Training:
    """The training behind a method with a prompt that need not be its own.

    Args:
        prompt: None for a method without prompts.
        learned: file of the learned prompt; None for a prompt that is not learned.
    """
    supervision, datasets = _network_training(host, method)
    if prompt and learned:
        of_prompt = _prompt_supervision(host, prompt)
        supervision = max(supervision, of_prompt, key=_ORDER.index)
        dataset = learned.trained_on or UNKNOWN_DATASET
        if dataset not in datasets:
            datasets.append(dataset)
    return Training(supervision, "+".join(datasets) or None)


def tuned_on_of(method: MethodSpec, learned: LearnedFile | None, *, is_changed: bool) -> tuple[str, ...]:
    """Data on which the choices behind a cell were made: the recipe's, its prompt's, and the user's own.

    A recipe does not say which choice was made on which of its data, so these stay where the user changes a
    parameter.

    Args:
        learned: file of the learned prompt; None for a prompt that is not learned.
        is_changed: whether the user set a parameter to another value than the recipe's.
    """
    entries = list(method.tuned_on)
    if learned:
        entries += learned.tuned_on
    if is_changed:
        entries.append(USERS_CHOICE)
    return without_repeats(entries)


def _network_training(host: Host, method: MethodSpec) -> tuple[str, list[str]]:
    """Supervision and training data of a method's network alone."""
    if method.trained_on:
        return method.supervision, [method.trained_on]
    own_prompt = host.prompts.get(method.prompt)
    # Such a recipe is supervised through its prompt, and its network is as it was published.
    if own_prompt and own_prompt.learned:
        return "Z", []
    return method.supervision, []


def _prompt_supervision(host: Host, prompt: PromptSpec) -> str:
    """Supervision of a learned prompt: that of the methods whose own prompt it is, else keypoints."""
    supervisions = [method.supervision for method in host.methods.values() if method.prompt == prompt.name]
    return max(supervisions, key=_ORDER.index, default="K")
