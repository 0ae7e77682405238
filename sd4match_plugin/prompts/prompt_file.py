"""The content of a prompt file, and the checks of its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from harness.errors import UserError
from harness.networks.tensor_files import check_tensor
from harness.training.file_names import BEST
from sd4match_plugin.prompts.cpm import CpmConfig
from sd4match_plugin.prompts.learned import SINGLE
from sd4match_plugin.prompts.tokens import LENGTH

Kind = Literal["single", "class", "cpm", "hidden-states"]

EXPECTED = (
    f"a prompt is {BEST} or another file that 'bench train' wrote, or a file or folder of SD4Match's release"
)
"""End of messages about files that are not prompts."""

MESSAGE_LIMIT = 160
"""Characters of a library's message that are repeated in ours."""


@dataclass(frozen=True, eq=False)
class PromptFile:
    """Tuned prompts, or the module that makes them, as a file holds them.

    Attributes:
        kind: `single`, `class` and `hidden-states` hold prompts, `cpm` the module that makes them.
            `hidden-states` are given to cross-attention as they are, the others are token embeddings and pass
            through the text encoder.
        prompts: `dataset` or a category -> (77, D), boundaries included.
        config, state: of the conditional prompting module, under the release's names.
        metadata: further facts: in our files everything that was written; in the release's `dataset`,
            `stable_diffusion` and `tokens`, as far as the folder's name says them, and then its `timestep`,
            which is the same for all of them.
        origin: the file it was read from, for messages.
    """

    kind: Kind
    prompts: Mapping[str, Tensor] = field(default_factory=dict)
    config: CpmConfig | None = None
    state: Mapping[str, Tensor] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    origin: Path | None = None

    @property
    def tensors(self) -> Mapping[str, Tensor]:
        """All tensors, by name."""
        return self.state if self.kind == "cpm" else self.prompts

    @property
    def text_width(self) -> int:
        """D, the width of the prompts."""
        if self.config is not None:
            return self.config.text_width
        return next(iter(self.prompts.values())).shape[1]

    def half(self) -> PromptFile:
        """The same with its tensors rounded to half precision."""
        return replace(self, prompts=_halve(self.prompts), state=_halve(self.state))


def check_prompt(prompt: PromptFile, subject: str) -> None:
    """Raises `UserError` unless the tensors have the names and shapes of their kind, and are finite.

    Args:
        subject: begins the message, such as the file's path.
    """
    tensors, shapes = prompt.tensors, _expected_shapes(prompt, subject)
    for name, shape in shapes.items():
        if name not in tensors:
            raise UserError(f"{subject}: tensor '{name}' is missing")
        tensor = tensors[name]
        if tuple(tensor.shape) != shape:
            raise UserError(f"{subject}: tensor '{name}' has the shape {tuple(tensor.shape)}, not {shape}")
        check_tensor(subject, name, tensor)
        if not tensor.is_floating_point() or not tensor.isfinite().all():
            raise UserError(
                f"{subject}: tensor '{name}' holds numbers that are not finite, or no real numbers"
            )
    unknown = sorted(tensors.keys() - shapes.keys())
    if unknown:
        raise UserError(f"{subject}: unknown tensor '{unknown[0]}'; known: {', '.join(sorted(shapes))}")


def copy_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies on the CPU that share no memory."""
    return {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }


def _expected_shapes(prompt: PromptFile, subject: str) -> Mapping[str, tuple[int, ...]]:
    if prompt.kind == "cpm":
        if prompt.config is None:
            raise UserError(f"{subject}: a conditional prompt needs its configuration")
        return prompt.config.shapes
    if not prompt.prompts:
        raise UserError(f"{subject}: no prompt in it")
    rows = next(iter(prompt.prompts.values()))
    width = rows.shape[-1] if rows.ndim else 0
    names = [SINGLE] if prompt.kind == "single" else list(prompt.prompts)
    return dict.fromkeys(names, (LENGTH, max(width, 1)))


def _halve(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.half() for name, tensor in tensors.items()}
