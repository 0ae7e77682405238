"""Data behind the numbers of a cell, for training and for choices: of its network, prompt and parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from harness.plugins.host import Host
from harness.specs import LearnedFile, MethodSpec, NetworkTraining, PromptSpec
from harness.specs.tuning import USERS_CHOICE, without_repeats
from harness.weights.choice import Weights

UNKNOWN_DATASET = "?"
"""Stands for the training data of a learned prompt whose file does not say them."""

_ORDER = ("Z", "I", "K")
"""Zero-shot, image-level labels or pairs, keypoints: the strongest last."""


class Training(NamedTuple):
    """The supervision of network and prompt together, and the datasets they were trained on.

    Attributes:
        supervision: the stronger one of the two.
        dataset: `a` or `a+b`; None where nothing was trained.
        tuned_on: data on which the network's own file was chosen among others.
    """

    supervision: str
    dataset: str | None
    tuned_on: tuple[str, ...] = ()


def training_of(
    host: Host,
    method: MethodSpec,
    prompt: PromptSpec | None,
    learned: LearnedFile | None,
    used: Mapping[str, Weights] = MappingProxyType({}),
) -> Training:
    """The training behind a method with a prompt that need not be its own.

    Args:
        prompt: None for a method without prompts.
        learned: file of the learned prompt; None for a prompt that is not learned.
        used: the weights that the networks read, by the name of their source.
    """
    facts = _facts_of_files(method, used)
    supervision, datasets = _network_training(host, method, facts)
    if prompt and learned:
        of_prompt = _prompt_supervision(host, prompt)
        supervision = max(supervision, of_prompt, key=_ORDER.index)
        dataset = learned.trained_on or UNKNOWN_DATASET
        if dataset not in datasets:
            datasets.append(dataset)
    tuned_on = without_repeats([entry for each in facts for entry in each.tuned_on])
    return Training(supervision, "+".join(datasets) or None, tuned_on)


def tuned_on_of(
    method: MethodSpec, learned: LearnedFile | None, *, is_changed: bool, network: Sequence[str] = ()
) -> tuple[str, ...]:
    """Data on which the choices behind a cell were made: the recipe's, its files', and the user's own.

    A recipe does not say which choice was made on which of its data, so these stay where the user changes a
    parameter.

    Args:
        learned: file of the learned prompt; None for a prompt that is not learned.
        is_changed: whether the user set a parameter to another value than the recipe's.
        network: data on which the network's file was chosen among others.
    """
    entries = [*method.tuned_on, *network]
    if learned:
        entries += learned.tuned_on
    if is_changed:
        entries.append(USERS_CHOICE)
    return without_repeats(entries)


def _facts_of_files(method: MethodSpec, used: Mapping[str, Weights]) -> list[NetworkTraining]:
    """What is known of the training of the files that are used, of those that a recipe's training made."""
    facts: list[NetworkTraining] = []
    for weights in used.values():
        inspect = weights.source.training
        if inspect is None:
            continue
        training = inspect(weights.path)
        if not training.trained_on:
            # The recipe's is that of the published file; of a file of the user's own nobody knows it.
            is_own = weights.location.kind == "own"
            known = "" if is_own else weights.source.trained_on or method.trained_on
            training = training._replace(trained_on=known or UNKNOWN_DATASET)
        facts.append(training)
    return facts


def _network_training(
    host: Host, method: MethodSpec, facts: Sequence[NetworkTraining]
) -> tuple[str, list[str]]:
    """Supervision and training data of a method's network alone."""
    if facts:
        return method.supervision, list(dict.fromkeys(each.trained_on for each in facts))
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
