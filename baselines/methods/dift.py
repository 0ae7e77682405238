"""Features of Stable Diffusion's decoder for whole, stretched images: DIFT (Tang et al., 2023), and what SD4Match tunes prompts for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import PIL.Image

from baselines.sources import SOURCE
from harness.errors import UserError
from harness.specs import ExtractorSpec, FeatureMap, ImageRequest, MakeContext, MethodSpec

if TYPE_CHECKING:
    import torch

    from baselines.stable_diffusion.conditioning import Conditioning

PROMPT_KINDS = frozenset({"text", "stable-diffusion"})
"""`stable-diffusion`: any other `baselines.stable_diffusion.conditioning.Prompt`."""

_FILTERS = {"bilinear": PIL.Image.Resampling.BILINEAR, "bicubic": PIL.Image.Resampling.BICUBIC}


def native_size(weights: Mapping[str, Path]) -> tuple[int, int]:
    """Width and height in pixels that the backbone was trained at."""
    from baselines.stable_diffusion.card import Card

    side = Card.of(weights[SOURCE]).native
    return side, side


class StretchedFeatures:
    """Activations of one place of the U-Net (an `ImageExtractor`).

    Image, stretched to the backbone's native square -> VAE posterior -> noise at `timestep` -> the U-Net up to `level`, averaged over
    `ensemble` draws. Posterior samples and noise belong to (seed, image, timestep, ensemble member).
    """

    def __init__(self, context: MakeContext) -> None:
        from baselines.stable_diffusion.shared import shared_backbone
        from baselines.stable_diffusion.stores import posterior_store
        from harness.caching.lru import ByteLRU, tensor_bytes
        from harness.preprocess import stretched

        params = context.params
        self._timestep, self._ensemble = int(str(params["timestep"])), int(str(params["ensemble"]))
        self._level, self._posterior, self._filter = (
            str(params[name]) for name in ("level", "posterior", "resample")
        )
        # With a prompt from the pair an image passes through the U-Net many times, and begins alike each time.
        self._repeats = context.prompt_scope == "pair"
        folder, memory = (
            context.weights[SOURCE],
            context.cache_bytes // 2 if self._repeats else context.cache_bytes,
        )
        self.backbone, self._kept = shared_backbone(context, folder, memory)
        # Two stay whatever their size: those of the pair at work.
        self._begun = ByteLRU(memory, tensor_bytes, at_least=2)
        self.backbone.check_timestep(self._timestep)
        card = self.backbone.card
        if self._level not in card.levels:
            raise UserError(f"{self._level!r} is no level of {folder}; it has {', '.join(card.levels)}")
        self._place = card.levels[self._level]
        self._size = (card.native, card.native)
        self._store = posterior_store(context.cache, SOURCE, card, self._filter) if context.cache else None
        self.prepare = partial(stretched, size=self._size, resample=_FILTERS[self._filter])

    def extract(self, requests: Sequence[ImageRequest]) -> list[FeatureMap]:
        """(C, h, w) features; (1280, 48, 48) for SD 2-1 at 768 x 768 and up-block 1."""
        from harness.preprocess import stretched_maps

        # A prompt that several images share goes through the text encoder once.
        different = {
            id(request.prompt): "" if request.prompt is None else request.prompt for request in requests
        }
        conditions = dict(zip(different, self.backbone.conditions(list(different.values())), strict=True))
        return stretched_maps(
            self.features(requests, [conditions[id(request.prompt)] for request in requests]),
            requests,
            self._size,
        )

    def features(self, requests: Sequence[ImageRequest], prompts: Sequence[Conditioning]) -> torch.Tensor:
        """(n, C, h, w) float32, one conditioning for each request."""
        import torch

        # As many pictures as pass through the U-Net together: what it begins with takes more memory than what comes out.
        latents = [side // self.backbone.card.factor for side in self._size]
        step = max(1, self.backbone.rows_at_once(*latents) // self._ensemble)
        return torch.cat(
            [
                self._together(requests[at : at + step], prompts[at : at + step])
                for at in range(0, len(requests), step)
            ]
        )

    def _together(self, requests: Sequence[ImageRequest], prompts: Sequence[Conditioning]) -> torch.Tensor:
        import torch

        repeated = [prompt for prompt in prompts for _ in range(self._ensemble)]
        begin = self._repeats and all(prompt.time is None for prompt in prompts)
        states = [self._begun_of(request) if begin else {"noisy": self._fed(request)} for request in requests]
        joined = {
            name: torch.cat([state[name] for state in states]) if len(states) > 1 else states[0][name]
            for name in states[0]
        }
        noisy = joined.pop("noisy")
        return self.backbone.mean_activations(
            noisy, self._timestep, repeated, self._place, self._ensemble, joined
        )

    def _begun_of(self, request: ImageRequest) -> Mapping[str, torch.Tensor]:
        """What an image's draws are before a prompt comes in, and the draws themselves; computed once per image as far as memory goes."""

        def begin() -> Mapping[str, torch.Tensor]:
            noisy = self._fed(request)
            return {"noisy": noisy, **self.backbone.begin(noisy, self._timestep)}

        return self._begun.once((request.identity, request.seed), begin)

    def _fed(self, request: ImageRequest) -> torch.Tensor:
        return self._noisy(request, *self._posterior_of(request))

    def _noisy(self, request: ImageRequest, mean: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
        """(ensemble, 4, h, w): what the U-Net is fed for one image."""
        import torch

        from baselines.stable_diffusion.backbone import draw_noise

        key = (request.seed, request.identity, self._timestep)
        noise = torch.stack(
            [draw_noise(mean.shape, "noise", *key, member) for member in range(self._ensemble)]
        )
        if self._posterior == "mean":
            latents = mean[None].expand(self._ensemble, -1, -1, -1)
        elif self._posterior == "sampled-once":
            latents = (mean + std * draw_noise(mean.shape, "posterior", *key).to(mean.device))[None].expand(
                self._ensemble, -1, -1, -1
            )
        else:
            drawn = torch.stack(
                [draw_noise(mean.shape, "posterior", *key, member) for member in range(self._ensemble)]
            )
            latents = mean[None] + std[None] * drawn.to(mean.device)
        return self.backbone.noisy(latents, noise.to(mean.device), self._timestep)

    def _posterior_of(self, request: ImageRequest) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and deviation of an image's latents, (4, h, w); encoded once per image, since a pair-wise prompt asks again and again."""
        import torch

        from baselines.stable_diffusion.stores import stored

        def encode() -> torch.Tensor:
            from harness.preprocess import prepared_batch

            posterior = self.backbone.posterior(
                2 * prepared_batch([request], self.prepare, self.backbone.device) - 1
            )
            return torch.stack([posterior.mean[0], posterior.std[0]])

        found = self._kept.once(
            ("stretched", self._size, self._filter, request.identity),
            lambda: {"both": stored(self._store, request.identity, encode, self.backbone.device)},
        )["both"]
        return found[0], found[1]


EXTRACTOR = ExtractorSpec(
    name="stable-diffusion",
    make=StretchedFeatures,
    scope="image",
    prompt_kinds=PROMPT_KINDS,
    image_size=native_size,
    params={
        "timestep": 261,
        "ensemble": 8,
        "level": "up-block 1",
        "posterior": "sampled",
        "resample": "bicubic",
    },
    param_help={
        "timestep": "diffusion timestep at which noise is added; 0 to 999 for Stable Diffusion",
        "ensemble": "draws of noise whose features are averaged; 1 or more",
        "level": "decoder features that are read: 'up-block 0' to 'up-block 3', or s5, s4, s3",
        "posterior": "latents from the VAE's posterior: sampled (for each draw), sampled-once, or mean",
        "resample": "filter that resizes the image: bilinear or bicubic",
    },
    weights=(SOURCE,),
    description="decoder features of Stable Diffusion for a stretched image",
)

METHOD = MethodSpec(
    name="dift",
    extractor="stable-diffusion",
    prompt="category",
    localizer="argmax-original",
    description="DIFT (2023): Stable Diffusion 2-1, t 261, up-block 1, mean of 8, 'a photo of a {category}'",
    notes=(
        "Follows the authors' code: 768 x 768 stretched (Pillow's default filter of its time, bicubic), a sample of the VAE posterior and "
        "noise for each of 8 ensemble members, argmax of the cosine at original resolution. Its noise is unseeded; here it belongs to "
        "(seed, image, timestep, member)."
    ),
)
