"""Files of learned prompts: the user's own, or one of those that a weight source holds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness.specs import LearnedFile, PromptSpec
from harness.specs.tuning import check_tuned_on
from harness.weights.choice import Weights


def prompt_weight_names(prompt: PromptSpec, own_file: Path | None) -> list[str]:
    """Names of the weight sources that a prompt reads, with the source of learned prompts unless the user
    names a file.
    """
    if prompt.learned is None or own_file is not None:
        return list(prompt.weights)
    return [*prompt.weights, prompt.learned.source]


def find_learned_file(
    prompt: PromptSpec,
    weights: Mapping[str, Weights],
    own_file: Path | None = None,
    trained_on: str | None = None,
) -> LearnedFile | None:
    """Returns the file of a learned prompt; None for a prompt that is not learned.

    Args:
        weights: those of `prompt_weight_names`, by name.
        own_file: the user's file or folder, which wins.
        trained_on: dataset that the prompt was trained on; None for the first prompt that the source holds.

    Raises:
        UserError: the source holds no such prompt, the user's file is not one, or the plugin names the data
            that it was tuned on wrongly.
    """
    if prompt.learned is None:
        return None
    if own_file is not None:
        learned = prompt.learned.inspect(own_file)
    else:
        learned = prompt.learned.find(weights[prompt.learned.source].path, trained_on)
    # Here, and not where the record is written: before the work.
    check_tuned_on(f"prompt '{prompt.name}', {learned.path}", learned.tuned_on)
    return learned
