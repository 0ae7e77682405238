"""SD4Match-CPM: a prompt that is conditioned on an image pair (paper, section 3.3 and figure 2), and the variants of its ablation."""

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

_RELEASE_NAME = re.compile(r"(Pair|Img)-(DINO|CLIP)-(Feat|Head)-G(\d+)-C(\d+)")

_INPUTS: Mapping[str, Inputs] = {"Pair": "pair", "Img": "image"}

_DESCRIPTORS: Mapping[str, Descriptor] = {"Feat": "patches", "Head": "head"}


@dataclass(frozen=True)
class CpmConfig:
    """How a conditional prompting module is built; the defaults are the paper's, for DINOv2 ViT-B/14 at 224 x 224 and SD 2-1.

    Attributes:
        inputs: what the prompt is conditioned on, `pair` or a single `image`.
        descriptor: the images' `patches`, or one vector each, the encoder's `head`.
        global_tokens: rows that are the same for all images (N_global).
        conditional_tokens: rows that depend on the images (N_cond).
        mixing: whether g_n mixes patches. Heads have none to mix: it is False for them, whatever is given.
        gate: `release`, tanh(alpha) (position + x), or `paper`, x alpha + position.
        image_width: W, length of the image encoder's vectors.
        patches: P, patches per image. Only g_n depends on it.
        text_width: D, width of token embeddings.

    Raises:
        UserError: a value that is none of these, or more than 75 rows together.
    """

    inputs: Inputs = "pair"
    descriptor: Descriptor = "patches"
    global_tokens: int = 25
    conditional_tokens: int = 50
    mixing: bool = True
    gate: Gate = "release"
    image_width: int = 768
    patches: int = 256
    text_width: int = 1024

    def __post_init__(self) -> None:
        for name, kind in (("inputs", Inputs), ("descriptor", Descriptor), ("gate", Gate), ("mixing", None)):
            known, value = get_args(kind) or (False, True), getattr(self, name)
            if value not in known or (name == "mixing" and not isinstance(value, bool)):
                raise UserError(
                    f"conditional prompt: {name} is {value!r}; known: {', '.join(map(str, known))}"
                )
        for name in ("global_tokens", "conditional_tokens", "image_width", "patches", "text_width"):
            value, least = getattr(self, name), 0 if name == "global_tokens" else 1
            if type(value) is not int or value < least:
                raise UserError(
                    f"conditional prompt: {name} is {value!r}, not a whole number from {least} on"
                )
        if self.tokens > LEARNED:
            raise UserError(
                f"conditional prompt: {self.global_tokens} global and {self.conditional_tokens} conditional tokens; "
                f"there is room for {LEARNED} together"
            )
        if self.descriptor == "head":
            object.__setattr__(self, "mixing", False)

    @property
    def tokens(self) -> int:
        """N: rows of the prompt that are not boundaries."""
        return self.global_tokens + self.conditional_tokens

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The parameters under the release's names; a prompt without global tokens has no `global_embeds`."""
        rows, layer = (1, self.conditional_tokens, self.text_width), self._projection
        shapes: dict[str, tuple[int, ...]] = {
            "positional_embedding": rows,
            "alpha_cond": rows,
            f"{layer}.weight": (self.text_width, self.image_width * (2 if self.inputs == "pair" else 1)),
            f"{layer}.bias": (self.text_width,),
        }
        if self.global_tokens:
            shapes["global_embeds"] = (1, self.global_tokens, self.text_width)
        if self.mixing:
            shapes |= {"linear_N.weight": (self.patches, self.patches), "linear_N.bias": (self.patches,)}
        return shapes

    @property
    def _projection(self) -> str:
        """The release's name of g_d."""
        return "linear_C" if self.inputs == "pair" and self.descriptor == "patches" else "linear"

    # ------------------------------------------------------------------------------------------------------ the release's names

    @property
    def release_name(self) -> str:
        """Such as `Pair-DINO-Feat-G25-C50`. Raises `UserError` for what the release's code cannot compute."""
        plain = self.inputs == "pair" and self.descriptor == "patches"
        if self.gate != "release" or self.mixing != plain:
            lacks = (
                "the paper's gate"
                if self.gate != "release"
                else ("patches mixed for one image" if self.mixing else "patches unmixed")
            )
            raise UserError(f"conditional prompt: the release has no variant with {lacks}")
        inputs, descriptor = (
            "Pair" if self.inputs == "pair" else "Img",
            "Feat" if self.descriptor == "patches" else "Head",
        )
        return f"{inputs}-DINO-{descriptor}-G{self.global_tokens}-C{self.conditional_tokens}"

    @classmethod
    def from_release_name(
        cls, name: str, image_width: int = 768, patches: int = 256, text_width: int = 1024
    ) -> CpmConfig:
        """The configuration that a name of the release tells, alone or inside a longer one; it does not tell widths.

        Raises:
            UserError: nothing of that form is in the name, or the variant is CLIP's, which needs another image encoder.
        """
        found = _RELEASE_NAME.search(name)
        if found is None:
            raise UserError(
                f"'{name}' names no conditional prompt; one is called like Pair-DINO-Feat-G25-C50"
            )
        inputs, encoder, descriptor, global_tokens, conditional_tokens = found.groups()
        if encoder != "DINO":
            raise UserError(
                f"'{found.group()}' is conditioned on {encoder}; only DINO variants are supported"
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
        """Whether `from_release_name` finds something in a name."""
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
"""Cases 1 to 6 of the paper's figure 3 (a), in its order. Fit them to other backbones with `dataclasses.replace`."""


class ConditionalPrompting(nn.Module):
    """Descriptors of images -> the learned rows of a prompt. Its `state_dict` is the release's.

    Args:
        config: how it is built.
        generator: where the initial values are drawn from: U[0, 1) for the three prompt tensors, PyTorch's default for linear layers.
            Without one, from the global stream.
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
        projection = config._projection
        outputs, inputs = config.shapes[f"{projection}.weight"]
        self.add_module(projection, _linear(inputs, outputs, generator))
        if config.mixing:
            self.linear_N = _linear(config.patches, config.patches, generator)

    def forward(self, source: Tensor, target: Tensor | None = None) -> Tensor:
        """Descriptors of B pairs or images -> (B, N, D), N being global and conditional rows together, global ones first.

        Args:
            source: (B, P, W) patches, or (B, W) heads, of the source images; the images themselves with inputs `image`.
            target: likewise of the target images, for inputs `pair` alone. The prompt is for both images of a pair, and depends on their
                order: features are concatenated source first.

        Raises:
            ValueError: the descriptors are not those of the configuration.
        """
        config = self.config
        if (target is None) != (config.inputs == "image"):
            raise ValueError(
                f"conditional prompt: inputs are '{config.inputs}', target is {'missing' if target is None else 'given'}"
            )
        both = [one for one in (source, target) if one is not None]
        wanted = (config.patches if config.mixing else source.shape[1], config.image_width)[
            config.descriptor == "head" :
        ]
        if any(one.shape != (len(source), *wanted) for one in both):
            raise ValueError(
                f"conditional prompt: descriptors are {[tuple(one.shape) for one in both]}, not (B, {wanted}) each"
            )
        rows = self._gated(self._described(torch.cat(both, dim=-1).to(self.alpha_cond.dtype)))
        if not config.global_tokens:
            return rows
        return torch.cat([self.global_embeds.expand(len(rows), -1, -1), rows], dim=1)

    def _described(self, descriptors: Tensor) -> Tensor:
        """g_d, g_n and p of the paper -> (B, N_cond, D); heads are the same for all rows: (B, 1, D)."""
        projected: Tensor = self.get_submodule(self.config._projection)(descriptors)
        if self.config.descriptor == "head":
            return projected[:, None]
        columns = projected.transpose(1, 2)
        if self.config.mixing:
            columns = self.linear_N(columns)
        return nn.functional.adaptive_max_pool1d(columns, self.config.conditional_tokens).transpose(1, 2)

    def _gated(self, described: Tensor) -> Tensor:
        if self.config.gate == "paper":
            return described * self.alpha_cond + self.positional_embedding
        return torch.tanh(self.alpha_cond) * (self.positional_embedding + described)

    def parameter_groups(self, rate: float = 1e-2, linear_rate: float = 1e-3) -> list[dict[str, Any]]:
        """Groups for an optimizer: `linear_rate` for g_d and g_n, `rate` for the prompt tensors (paper, section 4.1)."""
        named = list(self.named_parameters())
        return [
            {"params": [one for name, one in named if "linear" not in name], "lr": rate},
            {"params": [one for name, one in named if "linear" in name], "lr": linear_rate},
        ]


def _linear(inputs: int, outputs: int, generator: torch.Generator | None) -> nn.Linear:
    """A linear layer with PyTorch's default start, drawn from a generator: U[-1, 1) / sqrt(inputs) for weights and biases."""
    layer = nn.utils.skip_init(nn.Linear, inputs, outputs)
    bound = 1 / math.sqrt(inputs)
    for parameter in layer.parameters():
        nn.init.uniform_(parameter, -bound, bound, generator=generator)
    return layer  # type: ignore[no-any-return]
