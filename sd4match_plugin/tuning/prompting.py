"""The three prompting modules as a training sees them: which prompts a pair needs, and how they are made."""

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
"""What tells the prompts of a pair's source and target apart from others."""


@dataclass(frozen=True, eq=False)
class Prompting:
    """A module that learns, and what it is asked for. Subclasses know one kind.

    Attributes:
        module: all that has gradients.
        partial: whether a step may use some of its parameters only.
    """

    module: torch.nn.Module
    partial: bool = False

    def keys(self, pair: ImagePair) -> Keys:
        """Which prompt the source gets, and which the target; equal keys are one prompt."""
        raise NotImplementedError

    def rows(self, module: torch.nn.Module, keys: Sequence[Hashable]) -> torch.Tensor:
        """(n, N, D) learned rows of n prompts. `module` is the module itself, or what averages its gradients."""
        raise NotImplementedError

    def groups(self, settings: Settings) -> list[dict[str, Any]]:
        """What Adam updates, each group at its own rate."""
        return [{"params": list(self.module.parameters()), "lr": settings.rate}]


@dataclass(frozen=True, eq=False)
class Learned(Prompting):
    """Single: one prompt for everything. Class: one for each word of a category.

    Attributes:
        index: the split that names the categories; None for Single.
    """

    index: SplitIndex | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """What each prompt is called, in the order of the module's parameters."""
        module: LearnedPrompts = self.module  # type: ignore[assignment]
        return module.keys

    def keys(self, pair: ImagePair) -> Keys:
        key = self.index.prompt_category(pair) if self.index else SINGLE
        return key, key

    def rows(self, module: torch.nn.Module, keys: Sequence[Hashable]) -> torch.Tensor:
        made: torch.Tensor = module(list(keys))
        return made


@dataclass(frozen=True, eq=False)
class Conditional(Prompting):
    """CPM: one prompt for each pair, or for each image where the module looks at one.

    Attributes:
        descriptors: what it sees of the images.
    """

    descriptors: Descriptors | None = None

    @property
    def config(self) -> CpmConfig:
        """How the module is built."""
        config: CpmConfig = self.module.config  # type: ignore[assignment]
        return config

    def keys(self, pair: ImagePair) -> Keys:
        source, target = pair.source.identity(), pair.target.identity()
        return ((source,), (target,)) if self.config.inputs == "image" else ((source, target),) * 2

    def rows(self, module: torch.nn.Module, keys: Sequence[Hashable]) -> torch.Tensor:
        if self.descriptors is None:
            raise ValueError("a conditional prompt needs descriptors of the images")
        device = next(self.module.parameters()).device
        sides: list[tuple[str, ...]] = list(zip(*keys, strict=True))
        made: torch.Tensor = module(*(self.descriptors(side).to(device) for side in sides))
        return made

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
    single = settings.method == "sd4match-single"
    keys = [SINGLE] if single else list(index.categories)
    if settings.init == "random":
        module = LearnedPrompts.random(
            keys, backbone, torch.Generator().manual_seed(settings.seed), settings.tokens
        )
    else:
        module = LearnedPrompts(
            {
                key: backbone.token_embeddings(_start(settings, key)).float()[1 : settings.tokens + 1]
                for key in keys
            }
        )
    # Class alone leaves parameters out of a step: those of absent categories.
    return Learned(module.to(backbone.device), partial=not single, index=None if single else index)


def _start(settings: Settings, key: str) -> str:
    """The text that a prompt starts from."""
    if settings.init == "empty":
        return ""
    return "a photo of a" if key == SINGLE else f"a photo of a {key}"


def ablation_case(name: str) -> CpmConfig:
    """A case of the paper's Fig. 3(a), the first one without a name. Raises `UserError` for an unknown one."""
    if not name:
        return next(iter(ABLATION.values()))
    if name not in ABLATION:
        raise unknown_name("ablation", name, ABLATION)
    return ABLATION[name]


def make_conditional(settings: Settings, backbone: StableDiffusion, descriptors: Descriptors) -> Conditional:
    """CPM, before the first step, of the backbones' sizes."""
    config = replace(
        ablation_case(settings.ablation),
        gate=settings.gate,
        image_width=descriptors.width,
        patches=descriptors.count,
        text_width=backbone.text_width,
    )
    module = ConditionalPrompting(config, torch.Generator().manual_seed(settings.seed))
    return Conditional(module.to(backbone.device), descriptors=descriptors)


class PromptEncoder:
    """Learned rows -> what cross-attention reads, through the frozen text encoder. Gradients pass."""

    def __init__(self, backbone: StableDiffusion, precision: str) -> None:
        self._backbone, self._precision = backbone, precision
        self._boundaries = Boundaries.of(backbone)

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        """(n, N, D) -> (n, 77, D)."""
        with autocast(self._backbone, self._precision):
            return self._backbone.embedding_states(assemble(rows, self._boundaries))

    @torch.no_grad()
    def prompts(self, rows: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Key -> (N, D) rows -> key -> (77, D) whole prompts, as files keep them: float32 on the CPU."""
        return {key: assemble(one[None].float(), self._boundaries)[0].cpu() for key, one in rows.items()}


def autocast(backbone: StableDiffusion, precision: str) -> AbstractContextManager[Any]:
    """Half precision where it is safe. The frozen weights are of that precision themselves, which spares casting them every step."""
    return torch.autocast(backbone.device.type, DTYPES[precision], enabled=precision != "fp32")
