"""SD4Match-CPM: a prompt that is conditioned on an image pair (paper, section 3.3 and figure 2), and the
variants of its ablation.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from harness.errors import UserError
from sd4match_plugin.prompts.tokens import LEARNED

Inputs = Literal["pair", "image"]

Descriptor = Literal["patches", "head"]

Gate = Literal["release", "paper"]

RELEASE_POSITION_OFFSET = 0.1
"""Cells that the release's DINOv2 adds to its grid of positions (`baselines.vit.positions`)."""

_RELEASE_NAME = re.compile(r"(Pair|Img)-(DINO|CLIP)-(Feat|Head)-G(\d+)-C(\d+)")

_INPUTS: Mapping[str, Inputs] = {"Pair": "pair", "Img": "image"}

_DESCRIPTORS: Mapping[str, Descriptor] = {"Feat": "patches", "Head": "head"}


@dataclass(frozen=True)
class CpmConfig:
    """The structure of a conditional prompting module; the defaults are the paper's, for DINOv2 ViT-B/14 at
    224 x 224 and SD 2-1.

    Attributes:
        inputs: the images that the prompt is conditioned on: a `pair`, or a single `image`.
        descriptor: the images' `patches`, or one vector each, the encoder's `head`.
        global_tokens: rows that are the same for all images (N_global).
        conditional_tokens: rows that depend on the images (N_cond).
        mixing: whether g_n mixes patches. With heads there are no patches: it is False for them, whatever is
            asked.
        gate: `release`, tanh(alpha) (position + x), or `paper`, x alpha + position.
        position_offset: cells that were added to the grid when the image encoder's positions were
            interpolated (`baselines.vit.positions`) for the descriptors it was tuned on; None for what the
            encoder's authors add, as the release does.
        image_width: W, length of the image encoder's vectors.
        patches: P, patches per image. Only g_n depends on it.
        text_width: D, width of token embeddings.

    Raises:
        UserError: a value is not one of these, or there are more than 75 rows together.
    """

    inputs: Inputs = "pair"
    descriptor: Descriptor = "patches"
    global_tokens: int = 25
    conditional_tokens: int = 50
    mixing: bool = True
    gate: Gate = "release"
    position_offset: float | None = None
    image_width: int = 768
    patches: int = 256
    text_width: int = 1024

    def __post_init__(self) -> None:
        for name, choice in (("inputs", Inputs), ("descriptor", Descriptor), ("gate", Gate)):
            value, values = getattr(self, name), get_args(choice)
            if value not in values:
                raise UserError(f"conditional prompt: {name} is {value!r}; known: {', '.join(values)}")
        if not isinstance(self.mixing, bool):
            raise UserError(f"conditional prompt: mixing is {self.mixing!r}; known: False, True")
        offset = self.position_offset
        is_number = isinstance(offset, int | float) and not isinstance(offset, bool)
        if offset is not None and not (is_number and 0 <= offset < 1):
            raise UserError(f"conditional prompt: position_offset is {offset!r}, not from 0 to less than 1")
        least = {"global_tokens": 0, "conditional_tokens": 1, "image_width": 1, "patches": 1, "text_width": 1}
        for name, minimum in least.items():
            value = getattr(self, name)
            if type(value) is not int or value < minimum:
                raise UserError(
                    f"conditional prompt: {name} is {value!r}, not a whole number from {minimum} on"
                )
        if self.tokens > LEARNED:
            raise UserError(
                f"conditional prompt: {self.global_tokens} global and {self.conditional_tokens} conditional "
                f"tokens; there is room for {LEARNED} together"
            )
        if self.descriptor == "head":
            object.__setattr__(self, "mixing", False)

    @property
    def tokens(self) -> int:
        """N, the number of rows without boundaries."""
        return self.global_tokens + self.conditional_tokens

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the parameters under the release's names; without global tokens, no `global_embeds`."""
        rows, layer = (1, self.conditional_tokens, self.text_width), self.projection
        images = 2 if self.inputs == "pair" else 1
        shapes: dict[str, tuple[int, ...]] = {
            "positional_embedding": rows,
            "alpha_cond": rows,
            f"{layer}.weight": (self.text_width, self.image_width * images),
            f"{layer}.bias": (self.text_width,),
        }
        if self.global_tokens:
            shapes["global_embeds"] = (1, self.global_tokens, self.text_width)
        if self.mixing:
            shapes |= {"linear_N.weight": (self.patches, self.patches), "linear_N.bias": (self.patches,)}
        return shapes

    @property
    def projection(self) -> str:
        """The release's name of g_d."""
        return "linear_C" if self._has_pair_patches else "linear"

    @property
    def _has_pair_patches(self) -> bool:
        """True for the patches of a pair, as in the paper's module."""
        return self.inputs == "pair" and self.descriptor == "patches"

    @property
    def release_name(self) -> str:
        """Name such as `Pair-DINO-Feat-G25-C50`. Raises `UserError` for a variant that the release lacks."""
        if self.gate != "release":
            raise UserError("conditional prompt: the release has no variant with the paper's gate")
        if self.position_offset not in (None, RELEASE_POSITION_OFFSET):
            raise UserError(
                f"conditional prompt: tuned on descriptors with a position offset of {self.position_offset} "
                f"cells, where the release's have {RELEASE_POSITION_OFFSET}; tune it again to export it"
            )
        if self.mixing != self._has_pair_patches:
            variant = "patches mixed for one image" if self.mixing else "patches unmixed"
            raise UserError(f"conditional prompt: the release has no variant with {variant}")
        inputs = "Pair" if self.inputs == "pair" else "Img"
        descriptor = "Feat" if self.descriptor == "patches" else "Head"
        return f"{inputs}-DINO-{descriptor}-G{self.global_tokens}-C{self.conditional_tokens}"

    @classmethod
    def from_release_name(
        cls, name: str, image_width: int = 768, patches: int = 256, text_width: int = 1024
    ) -> CpmConfig:
        """The configuration that a name of the release stands for, alone or inside a longer one; widths are
        not in it.

        Raises:
            UserError: the name has no such part, or the variant is CLIP's, which needs another image encoder.
        """
        match = _RELEASE_NAME.search(name)
        if match is None:
            raise UserError(
                f"'{name}' names no conditional prompt; an example of such a name is Pair-DINO-Feat-G25-C50"
            )
        inputs, encoder, descriptor, global_tokens, conditional_tokens = match.groups()
        if encoder != "DINO":
            raise UserError(
                f"'{match.group()}' is conditioned on {encoder}; only DINO variants are supported"
            )
        return cls(
            inputs=_INPUTS[inputs],
            descriptor=_DESCRIPTORS[descriptor],
            global_tokens=int(global_tokens),
            conditional_tokens=int(conditional_tokens),
            mixing=inputs == "Pair" and descriptor == "Feat",
            image_width=image_width,
            patches=patches,
            text_width=text_width,
        )

    @staticmethod
    def is_release_name(name: str) -> bool:
        """Returns True for a name that `from_release_name` understands."""
        return _RELEASE_NAME.search(name) is not None


ABLATION: Mapping[str, CpmConfig] = MappingProxyType(
    {
        "pair-patches": CpmConfig(),
        "pair-head": CpmConfig(descriptor="head"),
        # The release's `Img-DINO-Feat` lacks g_n besides, which would change two things at once.
        "image-patches": CpmConfig(inputs="image"),
        "image-head": CpmConfig(inputs="image", descriptor="head"),
        "no-global": CpmConfig(global_tokens=0),
        "no-mixing": CpmConfig(mixing=False),
    }
)
"""Cases 1 to 6 of the paper's figure 3 (a), in order. `dataclasses.replace` fits them to other backbones."""


class ConditionalPrompting(nn.Module):
    """Descriptors of images -> the learned rows of a prompt. Its `state_dict` is the release's.

    Args:
        config: its structure.
        generator: source of the initial values: U[0, 1) for the three prompt tensors, PyTorch's default for
            linear layers. None for the global stream.
    """

    def __init__(self, config: CpmConfig, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config = config
        rows = (1, config.conditional_tokens, config.text_width)
        if config.global_tokens:
            self.global_embeds = nn.Parameter(
                torch.rand(1, config.global_tokens, config.text_width, generator=generator)
            )
        self.positional_embedding = nn.Parameter(torch.rand(rows, generator=generator))
        self.alpha_cond = nn.Parameter(torch.rand(rows, generator=generator))
        outputs, inputs = config.shapes[f"{config.projection}.weight"]
        self.add_module(config.projection, _linear(inputs, outputs, generator))
        if config.mixing:
            self.linear_N = _linear(config.patches, config.patches, generator)

    def forward(self, source: Tensor, target: Tensor | None = None) -> Tensor:
        """Descriptors of B pairs or images -> (B, N, D), N being global and conditional rows together, global
        ones first.

        Args:
            source: (B, P, W) patches, or (B, W) heads, of the source images; the images themselves with
                inputs `image`.
            target: likewise of the target images, for inputs `pair` alone. The prompt is for both images of a
                pair, and depends on their order: features are concatenated source first.

        Raises:
            ValueError: the descriptors are not those of the configuration.
        """
        config = self.config
        descriptors = [source] if target is None else [source, target]
        if len(descriptors) != (1 if config.inputs == "image" else 2):
            target_word = "missing" if target is None else "not expected"
            raise ValueError(f"conditional prompt: inputs are '{config.inputs}', the target is {target_word}")
        shape: tuple[int, ...] = (config.image_width,)
        if config.descriptor == "patches":
            shape = (config.patches if config.mixing else source.shape[1], config.image_width)
        if any(descriptor.shape != (len(source), *shape) for descriptor in descriptors):
            shapes = [tuple(descriptor.shape) for descriptor in descriptors]
            raise ValueError(f"conditional prompt: descriptors are {shapes}, not (B, {shape}) each")
        rows = self._apply_gate(self._project(torch.cat(descriptors, dim=-1).to(self.alpha_cond.dtype)))
        if not config.global_tokens:
            return rows
        return torch.cat([self.global_embeds.expand(len(rows), -1, -1), rows], dim=1)

    def _project(self, descriptors: Tensor) -> Tensor:
        """g_d, g_n and p of the paper -> (B, N_cond, D); heads are the same for all rows: (B, 1, D)."""
        projected: Tensor = self.get_submodule(self.config.projection)(descriptors)
        if self.config.descriptor == "head":
            return projected[:, None]
        columns = projected.transpose(1, 2)
        if self.config.mixing:
            columns = self.linear_N(columns)
        # p of the paper: from P patches to N_cond rows.
        return nn.functional.adaptive_max_pool1d(columns, self.config.conditional_tokens).transpose(1, 2)

    def _apply_gate(self, projected: Tensor) -> Tensor:
        if self.config.gate == "paper":
            return projected * self.alpha_cond + self.positional_embedding
        return torch.tanh(self.alpha_cond) * (self.positional_embedding + projected)

    def parameter_groups(self, rate: float = 1e-2, linear_rate: float = 1e-3) -> list[dict[str, Any]]:
        """Groups for an optimizer: `linear_rate` for g_d and g_n, `rate` for others (paper, section 4.1)."""
        tensors: list[nn.Parameter] = []
        linear: list[nn.Parameter] = []
        for name, parameter in self.named_parameters():
            (linear if "linear" in name else tensors).append(parameter)
        return [{"params": tensors, "lr": rate}, {"params": linear, "lr": linear_rate}]


def _linear(inputs: int, outputs: int, generator: torch.Generator | None) -> nn.Linear:
    """A linear layer with PyTorch's default start, drawn from a generator: U[-1, 1) / sqrt(inputs) for
    weights and biases.
    """
    layer = nn.utils.skip_init(nn.Linear, inputs, outputs)
    bound = 1 / math.sqrt(inputs)
    for parameter in layer.parameters():
        nn.init.uniform_(parameter, -bound, bound, generator=generator)
    return layer  # type: ignore[no-any-return]
