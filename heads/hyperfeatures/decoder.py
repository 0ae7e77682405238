"""Steps from pictures to noise, and what the decoder's convolutions give at those that are kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import torch
from PIL.Image import Resampling
from torch import Tensor

from baselines.networks.stored_tensors import load_or_compute
from baselines.sources import STABLE_DIFFUSION_1_5
from baselines.stable_diffusion.backbone import draw_noise
from baselines.stable_diffusion.conditioning import Conditioning
from baselines.stable_diffusion.shared import shared_backbone
from baselines.stable_diffusion.stores import posterior_store
from harness.frames import Size
from harness.preprocess import prepared_batch, stretched
from harness.specs import ImageRequest, MakeContext
from heads.hyperfeatures.inversion import invert_step, keep_numbers, last_kept, plan_inversion

RESULT = "conv_out"
"""Submodule of the U-Net whose output is its prediction."""


def read_layers(unet: torch.nn.Module) -> dict[str, int]:
    """Submodules whose outputs are features -> their channels.

    They are the second convolutions of the decoder's residual blocks, before the shortcut is added: twelve in
    every published Stable Diffusion.
    """
    layers = {}
    for name, module in unet.named_modules():
        if name.startswith("up_blocks.") and ".resnets." in name and name.endswith(".conv2"):
            assert isinstance(module, torch.nn.Conv2d)
            layers[name] = module.out_channels
    return layers


class DecoderSteps:
    """Image, stretched to the backbone's native square -> latents -> inversion, of whose steps some are kept.

    Samples of the latents belong to (seed, image).

    Attributes:
        size: of the square in pixels.
        side: of the latents, across and down.
        channels: of each level at a step.
        kept: number of steps whose features are read.
        prepare: picture -> pixels (height, width, 3) uint8.

    Raises:
        UserError: the parameters name no inversion.
    """

    def __init__(self, context: MakeContext) -> None:
        params = context.params
        # Outputs within a block that is compiled cannot be read.
        self.backbone, self._memory = shared_backbone(
            replace(context, compiled=False), context.weights[STABLE_DIFFUSION_1_5], context.cache_bytes
        )
        card = self.backbone.card
        self.size = Size(card.native, card.native)
        self.side = card.native // card.factor
        self._is_sampled = params["posterior"] == "sampled"
        steps = int(str(params["steps"]))
        self._signals = self.backbone.scheduler.alphas_cumprod
        plan = plan_inversion(len(self._signals), steps)
        self._numbers = keep_numbers(steps, int(str(params["every"])))
        # What comes after the last kept step has no part in the features.
        self._plan = plan[: last_kept(plan, self._numbers)]
        self._layers = read_layers(self.backbone.unet)
        self.channels = tuple(self._layers.values())
        self.kept = len(self._numbers)
        self._store = None
        if context.cache:
            self._store = posterior_store(context.cache, STABLE_DIFFUSION_1_5, card, "bilinear")
        self.prepare = partial(stretched, size=self.size, resample=Resampling.BILINEAR)

    def conditions(self, requests: Sequence[ImageRequest]) -> list[Conditioning]:
        """What the U-Net is told of each image besides its latents."""
        return self.backbone.conditions(
            ["" if request.prompt is None else request.prompt for request in requests]
        )

    def maps(self, latents: Tensor, prompts: Sequence[Conditioning]) -> Iterator[list[Tensor]]:
        """Yields the maps of all levels, each (n, C, h, w), of one kept step after another.

        Args:
            latents: (n, 4, h, w) of pictures, scaled.
        """
        for step in self._plan:
            is_kept, is_last = step.number in self._numbers, step is self._plan[-1]
            submodules = [*(self._layers if is_kept else ()), *(() if is_last else (RESULT,))]
            outputs = self.backbone.activations(latents, step.start, prompts, submodules)
            if is_kept:
                yield [outputs[name] for name in self._layers]
            if not is_last:
                predicted = outputs[RESULT].float()
                latents = invert_step(latents, predicted, self._signals, step, self.backbone.card.prediction)

    def latents(self, request: ImageRequest) -> Tensor:
        """(4, h, w) scaled latents of an image."""
        latents, std = self._posterior_moments(request)
        if self._is_sampled:
            draw = draw_noise(latents.shape, "posterior", request.seed, request.identity, "inversion")
            latents = latents + std * draw.to(latents.device)
        return self.backbone.clean(latents)

    def _posterior_moments(self, request: ImageRequest) -> tuple[Tensor, Tensor]:
        """Mean and deviation of an image's latents, (4, h, w)."""

        def encode() -> Tensor:
            pixels = prepared_batch([request], self.prepare, self.backbone.device)
            # The VAE reads values in [-1, 1].
            posterior = self.backbone.posterior(2 * pixels - 1)
            return torch.stack([posterior.mean[0], posterior.std[0]])

        def load() -> Mapping[str, Tensor]:
            moments = load_or_compute(self._store, request.identity, encode, self.backbone.device)
            return {"mean": moments[0], "std": moments[1]}

        # Extractors share the memory; the first words keep their entries apart.
        moments = self._memory.once(("stretched", self.size, "bilinear", request.identity), load)
        return moments["mean"], moments["std"]
