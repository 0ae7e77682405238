"""The three prompting modules as a training sees them: the prompts of a pair, and their making."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import torch

from baselines.networks.loading import DTYPES
from baselines.stable_diffusion.backbone import StableDiffusion
from harness.datasets.splits import SplitIndex
from harness.errors import UserError, unknown_name
from harness.specs import ImagePair
from sd4match_plugin.prompts.cpm import ABLATION, ConditionalPrompting, CpmConfig
from sd4match_plugin.prompts.learned import SINGLE, LearnedPrompts
from sd4match_plugin.prompts.tokens import LEARNED, Boundaries, assemble
from sd4match_plugin.tuning.images import Descriptors
from sd4match_plugin.tuning.settings import Settings

Keys = tuple[Hashable, Hashable]
"""Keys of the prompts of a pair's source and target: equal prompts have equal keys."""


@dataclass(frozen=True, eq=False)
class Prompting:
    """A module that learns, and the prompts that pairs need of it. Each subclass is for one kind of module.

    Attributes:
        module: all parameters with gradients.
        partial: True if a step may use only some of its parameters.
    """

    module: torch.nn.Module
    partial: bool = False

    def keys(self, pair: ImagePair) -> Keys:
        """Keys of the source's prompt and the target's."""
        raise NotImplementedError

    def rows(self, module: torch.nn.Module, keys: Sequence[Hashable]) -> torch.Tensor:
        """(n, N, D) learned rows of n prompts, from the module or from a wrapper that averages gradients."""
        raise NotImplementedError

    def groups(self, settings: Settings) -> list[dict[str, Any]]:
        """Groups of parameters for Adam, each with its own rate."""
        return [{"params": list(self.module.parameters()), "lr": settings.rate}]


@dataclass(frozen=True, eq=False)
class Learned(Prompting):
    """Single: one prompt for all images. Class: one for each word of a category.

    Attributes:
        index: the split that names the categories; None for Single.
    """

    index: SplitIndex | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the prompts, in the order of the module's parameters."""
        module: LearnedPrompts = self.module  # type: ignore[assignment]
        return module.keys

    def keys(self, pair: ImagePair) -> Keys:
        key = self.index.prompt_category(pair) if self.index else SINGLE
        return key, key

    def rows(self, module: torch.nn.Module, keys: Sequence[Hashable]) -> torch.Tensor:
        rows: torch.Tensor = module(list(keys))
        return rows


@dataclass(frozen=True, eq=False)
class Conditional(Prompting):
    """CPM: one prompt for each pair, or for each image where the module looks at one.

    Attributes:
        descriptors: of the images that the module looks at.
    """

    descriptors: Descriptors | None = None

    @property
    def config(self) -> CpmConfig:
        """The module's structure."""
        config: CpmConfig = self.module.config  # type: ignore[assignment]
        return config

    def keys(self, pair: ImagePair) -> Keys:
        source, target = pair.source.identity(), pair.target.identity()
        if self.config.inputs == "image":
            return (source,), (target,)
        pair_key = (source, target)
        return pair_key, pair_key

    def rows(self, module: torch.nn.Module, keys: Sequence[Hashable]) -> torch.Tensor:
        if self.descriptors is None:
            raise ValueError("a conditional prompt needs descriptors of the images")
        device = next(self.module.parameters()).device
        # Keys are (source, target) or (image,): one column for each input of the module.
        sides: list[tuple[str, ...]] = list(zip(*keys, strict=True))
        rows: torch.Tensor = module(*(self.descriptors(side).to(device) for side in sides))
        return rows

    def groups(self, settings: Settings) -> list[dict[str, Any]]:
        module: ConditionalPrompting = self.module  # type: ignore[assignment]
        return module.parameter_groups(settings.rate, settings.linear_rate)


def make_learned(settings: Settings, backbone: StableDiffusion, index: SplitIndex) -> Learned:
    """Single or Class, before the first step.

    Raises:
        UserError: more tokens than a prompt holds.
    """
    if not 1 <= settings.tokens <= LEARNED:
        raise UserError(f"--tokens {settings.tokens}: a prompt holds 1 to {LEARNED} learned tokens")
    is_single = settings.method == "sd4match-single"
    keys = [SINGLE] if is_single else list(index.categories)
    if settings.init == "random":
        generator = torch.Generator().manual_seed(settings.seed)
        module = LearnedPrompts.random(keys, backbone, generator, settings.tokens)
    else:
        module = LearnedPrompts({key: _text_rows(settings, key, backbone) for key in keys})
    # Class alone leaves parameters out of a step: those of absent categories.
    return Learned(module.to(backbone.device), partial=not is_single, index=None if is_single else index)


def _text_rows(settings: Settings, key: str, backbone: StableDiffusion) -> torch.Tensor:
    """(N, D) tokens of the text that a prompt starts from."""
    text = ""
    if settings.init == "text":
        text = "a photo of a" if key == SINGLE else f"a photo of a {key}"
    return backbone.token_embeddings(text).float()[1 : settings.tokens + 1]


def ablation_case(name: str) -> CpmConfig:
    """A case of the paper's Fig. 3(a); for no name, case 1. Raises `UserError` for an unknown one."""
    if not name:
        return next(iter(ABLATION.values()))
    if name not in ABLATION:
        raise unknown_name("ablation", name, ABLATION)
    return ABLATION[name]


def make_conditional(settings: Settings, backbone: StableDiffusion, descriptors: Descriptors) -> Conditional:
    """CPM, before the first step, with the sizes of its backbones."""
    config = replace(
        ablation_case(settings.ablation),
        gate=settings.gate,
        position_offset=descriptors.position_offset,
        image_width=descriptors.width,
        patches=descriptors.count,
        text_width=backbone.text_width,
    )
    module = ConditionalPrompting(config, torch.Generator().manual_seed(settings.seed))
    return Conditional(module.to(backbone.device), descriptors=descriptors)


class PromptEncoder:
    """Learned rows -> states for cross-attention, through the frozen text encoder. Gradients pass."""

    def __init__(self, backbone: StableDiffusion, precision: str) -> None:
        self._backbone, self._precision = backbone, precision
        self._boundaries = Boundaries.of(backbone)

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        """(n, N, D) -> (n, 77, D)."""
        with autocast(self._backbone, self._precision):
            return self._backbone.embedding_states(assemble(rows, self._boundaries))

    @torch.no_grad()
    def prompts(self, rows: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Key -> (N, D) rows to key -> (77, D) whole prompts for prompt files: float32 on the CPU."""
        prompts = {}
        for key, prompt_rows in rows.items():
            prompts[key] = assemble(prompt_rows[None].float(), self._boundaries)[0].cpu()
        return prompts


def autocast(backbone: StableDiffusion, precision: str) -> AbstractContextManager[Any]:
    """Half precision where it is safe. The frozen weights have that precision already, so that they need not
    be cast in every step.
    """
    return torch.autocast(backbone.device.type, DTYPES[precision], enabled=precision != "fp32")
