"""The content of a prompt file, and what of it is checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from harness.errors import UserError
from sd4match_plugin.prompts.cpm import CpmConfig
from sd4match_plugin.prompts.learned import SINGLE
from sd4match_plugin.prompts.tokens import LENGTH

Kind = Literal["single", "class", "cpm", "hidden-states"]

CAPTION, CHECKPOINT = "caption.pt", "ckpt.pt"

BEST = "best.safetensors"
"""What a training leaves in its folder."""

WANTED = (
    f"a prompt is {BEST} or another file that 'bench train' wrote, or a file or folder of SD4Match's release"
)


@dataclass(frozen=True, eq=False)
class PromptFile:
    """What a file of tuned prompts holds.

    Attributes:
        kind: `single`, `class` and `hidden-states` hold prompts, `cpm` the module that makes them. `hidden-states` are given to
            cross-attention as they are, the others are token embeddings and pass through the text encoder.
        prompts: `dataset` or a category -> (77, D), boundaries included.
        config, state: of the conditional prompting module, under the release's names.
        metadata: what else is known: of our files whatever was written; of the release's `dataset`, `stable_diffusion` and `tokens`, as
            far as the folder's name tells them, and then its `timestep`, which is the same for all of them.
        origin: the file it was read from, for messages.
    """

    kind: Kind
    prompts: Mapping[str, Tensor] = field(default_factory=dict)
    config: CpmConfig | None = None
    state: Mapping[str, Tensor] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    origin: Path | None = None

    @property
    def text_width(self) -> int:
        """D."""
        return (
            self.config.text_width if self.config is not None else next(iter(self.prompts.values())).shape[1]
        )

    def half(self) -> PromptFile:
        """The same with its tensors rounded to half precision."""
        prompts, state = (
            {name: one.half() for name, one in tensors.items()} for tensors in (self.prompts, self.state)
        )
        return replace(self, prompts=prompts, state=state)


def _tensor(file: Path, state: Mapping[str, Tensor], name: str, dimensions: int) -> Tensor:
    if name not in state:
        raise UserError(f"{file}: tensor '{name}' is missing")
    if state[name].ndim != dimensions:
        raise UserError(
            f"{file}: tensor '{name}' has the shape {tuple(state[name].shape)}, not {dimensions} dimensions"
        )
    return state[name]


def _check(prompt: PromptFile, where: str) -> None:
    """Raises `UserError` unless the tensors are what the kind says, whole and finite."""
    tensors, shapes = _content(prompt, where)
    for name, shape in shapes.items():
        if name not in tensors:
            raise UserError(f"{where}: tensor '{name}' is missing")
        if tuple(tensors[name].shape) != shape:
            raise UserError(
                f"{where}: tensor '{name}' has the shape {tuple(tensors[name].shape)}, not {shape}"
            )
        if not tensors[name].is_floating_point() or not tensors[name].isfinite().all():
            raise UserError(f"{where}: tensor '{name}' holds numbers that are not finite, or no real numbers")
    unknown = sorted(tensors.keys() - shapes.keys())
    if unknown:
        raise UserError(f"{where}: unknown tensor '{unknown[0]}'; known: {', '.join(sorted(shapes))}")


def _content(prompt: PromptFile, where: str) -> tuple[Mapping[str, Tensor], Mapping[str, tuple[int, ...]]]:
    """Tensors by name, and the shapes that they should have."""
    if prompt.kind == "cpm":
        if prompt.config is None:
            raise UserError(f"{where}: a conditional prompt needs its configuration")
        return prompt.state, prompt.config.shapes
    first = next(iter(prompt.prompts.values()), None)
    if first is None:
        raise UserError(f"{where}: no prompt in it")
    names = [SINGLE] if prompt.kind == "single" else list(prompt.prompts)
    width = first.shape[-1] if first.ndim else 0
    return prompt.prompts, dict.fromkeys(names, (LENGTH, max(width, 1)))


def _told(error: Exception) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__


def _plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies on the CPU that share no memory."""
    return {
        name: one.detach().cpu().clone(memory_format=torch.contiguous_format) for name, one in tensors.items()
    }
