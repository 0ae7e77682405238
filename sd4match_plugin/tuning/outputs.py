"""Prompt files of a training: the newest prompt and the best one, written as they stand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from harness.training.checkpoint import History
from harness.training.file_names import BEST, LAST
from sd4match_plugin.prompts import files
from sd4match_plugin.prompts.prompt_file import Kind, PromptFile
from sd4match_plugin.tuning.prompting import Conditional, Learned, PromptEncoder, Prompting

ModuleState = Mapping[str, torch.Tensor]
"""Parameters of a prompt module, by name."""


def write_prompt_files(
    folder: Path,
    prompting: Prompting,
    encoder: PromptEncoder,
    metadata: Mapping[str, str],
    history: History,
    *,
    step: int,
    newest: ModuleState,
    best: ModuleState | None,
) -> None:
    """Writes `last.safetensors` and `best.safetensors`.

    Args:
        metadata: entries of the files' headers, besides step and PCK.
        step: steps done, those of `newest`.
        best: the best module on the validation pairs; None before the first validation: then the newest
            counts as the best.
    """
    for name, state, state_step in (
        (LAST, newest, step),
        (BEST, best or newest, history.best or step),
    ):
        header = {**metadata, "step": str(state_step)}
        if (pck := history.pck(state_step)) is not None:
            header["validation_pck"] = f"{pck:.6f}"
        files.write(folder / name, prompt_file_of(prompting, encoder, state, header))


def prompt_file_of(
    prompting: Prompting, encoder: PromptEncoder, state: ModuleState, metadata: Mapping[str, str]
) -> PromptFile:
    """Returns a module's state in the form of a prompt file."""
    if isinstance(prompting, Conditional):
        return PromptFile("cpm", config=prompting.config, state=state, metadata=metadata)
    if not isinstance(prompting, Learned):
        raise TypeError(f"no file for a {type(prompting).__name__}")
    rows = {name: state[f"rows.{number}"][0] for number, name in enumerate(prompting.names)}
    kind: Kind = "class" if prompting.index else "single"
    return PromptFile(kind, prompts=encoder.prompts(rows), metadata=metadata)
