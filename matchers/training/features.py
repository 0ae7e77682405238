"""Features of frozen networks as the input of a head that is trained, in place of pixels."""

from __future__ import annotations

from collections.abc import Mapping

import PIL.Image
import torch
from torch import Tensor

from harness.datasets.splits import SplitIndex
from harness.errors import UserError
from harness.features.requests import PromptUse
from harness.plugins.host import Host
from harness.specs import NO_PROMPT, ImagePair, ImageRequest, MakeContext, MethodSpec, PromptSpec
from harness.weights.choice import Weights
from matchers.training.objective import Features, Objective, TrainingSettings

MEMORY = 1 << 28
"""Bytes for what frozen networks keep of a picture by themselves; the features are kept by `BatchMaker`."""


class PictureFeatures:
    """Picture -> features, with the prompt that the method's recipe names.

    Args:
        prompt: None for networks without prompts.
        index: the split, which knows the words that prompts use.

    Attributes:
        channels: of each level.
    """

    def __init__(self, features: Features, prompt: PromptUse | None, index: SplitIndex) -> None:
        self._features, self._prompt, self._index = features, prompt, index
        self.channels = features.channels

    def word(self, pair: ImagePair) -> str:
        """The word of the prompt, on which the features of a pair's pictures depend; empty for no prompt."""
        has_word = self._prompt is not None and self._prompt.scope != "dataset"
        return self._index.prompt_category(pair) if has_word else ""

    @torch.no_grad()
    def __call__(self, pair: ImagePair, picture: PIL.Image.Image, identity: str) -> Tensor:
        """(C, h, w) float32 on the CPU.

        Args:
            identity: the picture's; another one where its colours were changed.
        """
        # The seed of a run that names none, so that these are the features that validation sees.
        request = ImageRequest(picture, identity, self._index.prompt_category(pair), seed=0)
        if self._prompt:
            (request,) = self._prompt.add_to(request.category, [request])
        return self._features(request).data.float().cpu()


def start_names(host: Host, objective: Objective) -> list[str]:
    """Names of the weight sources that a training starts from, the prompt's last."""
    if objective.features is None:
        return [objective.start]
    prompt = _prompt_of(host, host.methods[objective.method])
    return list(dict.fromkeys([*objective.features.weights, *(prompt.weights if prompt else ())]))


def open_features(
    host: Host,
    objective: Objective,
    settings: TrainingSettings,
    index: SplitIndex,
    used: Mapping[str, Weights],
    device: str,
) -> PictureFeatures | None:
    """Makes the frozen networks of an objective; None for one that is fed pixels.

    Args:
        index: the split that is trained on.
        used: name of a weight source -> the weights.

    Raises:
        UserError: weights are damaged, or the settings name another size of the input.
    """
    if objective.features is None:
        return None
    recipe = host.methods[objective.method]
    prompt = _prompt_of(host, recipe)
    context = MakeContext(
        device=device,
        params={**host.extractors[recipe.extractor].params, **recipe.params},
        weights={name: weights.path for name, weights in used.items()},
        categories=index.categories,
        prompt_scope=prompt.scope if prompt else "image",
        cache_bytes=MEMORY,
    )
    features = objective.features.make(context)
    if settings.image_size != features.side:
        raise UserError(
            f"image_size={settings.image_size}: the frozen networks look at {features.side} x "
            f"{features.side} pixels, by their own size; give --set image_size={features.side}"
        )
    return PictureFeatures(features, PromptUse(prompt.make(context), prompt.scope) if prompt else None, index)


def _prompt_of(host: Host, recipe: MethodSpec) -> PromptSpec | None:
    return None if recipe.prompt == NO_PROMPT else host.prompts[recipe.prompt]
