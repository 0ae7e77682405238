"""DIFT (Tang et al., 2023): features of Stable Diffusion's decoder for stretched images.

SD4Match tunes prompts for the same features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from baselines.networks.pixels import FILTERS, TENSOR_FILTER, stretch_as_tensor
from baselines.sources import STABLE_DIFFUSION_2_1
from baselines.stable_diffusion.sparing import AVERAGED, START, average_draws, drop_unread
from harness import citations
from harness.errors import NotApplicable, UserError
from harness.specs import NOT_STATED, ExtractorSpec, FeatureMap, ImageRequest, MakeContext, MethodSpec, Scalar

if TYPE_CHECKING:
    import torch

    from baselines.stable_diffusion.card import Card
    from baselines.stable_diffusion.conditioning import Conditioning

PROMPT_KINDS = frozenset({"text", "stable-diffusion"})
"""`stable-diffusion`: any other `baselines.stable_diffusion.conditioning.Prompt`."""


POSTERIORS = ("sampled", "sampled-once", "mean")
"""Values of the parameter `posterior`: a sample for each draw of noise, one for all draws, or the mean."""

RESAMPLES = (*FILTERS, TENSOR_FILTER)
"""Values of the parameter `resample`."""


def fed_size(weights: Mapping[str, Path], params: Mapping[str, Scalar]) -> tuple[int, int]:
    """Width and height in pixels that the backbone was trained at.

    Raises:
        UserError: the backbone's configuration is damaged, or does not have the timestep or level.
    """
    from baselines.stable_diffusion.card import Card

    card = Card.of(weights[STABLE_DIFFUSION_2_1])
    card.check_timestep(int(str(params["timestep"])))
    card.submodule(str(params["level"]))
    _first_block(card, params)
    return card.native, card.native


class StretchedFeatures:
    """Activations of one submodule of the U-Net for stretched images (an `ImageExtractor`).

    Image, stretched to the backbone's native square -> VAE posterior -> noise at `timestep` -> the U-Net up
    to `level`, averaged over `ensemble` draws. Posterior samples and noise belong to (seed, image, timestep,
    ensemble member).

    Args:
        unet: a file of another U-Net, which takes the place of the backbone's.
    """

    def __init__(self, context: MakeContext, unet: Path | None = None) -> None:
        from baselines.stable_diffusion.shared import shared_backbone
        from baselines.stable_diffusion.stores import posterior_store
        from harness.caching.lru import ByteLRU, tensor_bytes
        from harness.preprocess import stretched

        params = context.params
        self._timestep = int(str(params["timestep"]))
        self._ensemble = int(str(params.get("ensemble", 1)))
        level = str(params["level"])
        averaged = str(params.get("draws_averaged", "end"))
        self._posterior = str(params["posterior"])
        self._resample = str(params["resample"])
        # A recipe of another plugin may have any value; --set has been checked.
        _require_known("posterior", self._posterior, POSTERIORS)
        _require_known("resample", self._resample, RESAMPLES)
        _require_known("draws_averaged", averaged, AVERAGED)
        # With a prompt from the pair an image passes through the U-Net often, always with the same prefix.
        self._keeps_prefixes = context.prompt_scope == "pair"
        self._reads_own_first = params.get("prompt_from", START) != START
        if self._reads_own_first and not self._keeps_prefixes:
            raise NotApplicable("prompt_from is for a prompt that is made from the pair")
        folder = context.weights[STABLE_DIFFUSION_2_1]
        # Latents and prefixes share the bound.
        memory = context.cache_bytes // 2 if self._keeps_prefixes else context.cache_bytes
        self.backbone, self._kept = shared_backbone(context, folder, memory, unet)
        # Two stay whatever their size: those of the pair at work.
        self._prefixes = ByteLRU(memory, tensor_bytes, at_least=2)
        self.backbone.check_timestep(self._timestep)
        card = self.backbone.card
        self._submodule = card.submodule(level)
        self._first = _first_block(card, params)
        self._averages_early = averaged == "prompt"
        self._rows = 1 if self._averages_early else self._ensemble
        self._size = (card.native, card.native)
        self._store = None
        if context.cache:
            self._store = posterior_store(context.cache, STABLE_DIFFUSION_2_1, card, self._resample)
        if self._resample == TENSOR_FILTER:
            self.prepare = partial(stretch_as_tensor, size=self._size)
        else:
            self.prepare = partial(stretched, size=self._size, resample=FILTERS[self._resample])

    def extract(self, requests: Sequence[ImageRequest]) -> list[FeatureMap]:
        """(C, h, w) features; (1280, 48, 48) for SD 2-1 at 768 x 768 and up-block 1."""
        from harness.preprocess import stretched_maps

        # By object: a prompt that several images share goes through the text encoder once.
        prompts = {}
        for request in requests:
            prompts[id(request.prompt)] = "" if request.prompt is None else request.prompt
        conditions = self.backbone.conditions(list(prompts.values()))
        condition_of = dict(zip(prompts, conditions, strict=True))
        features = self.features(requests, [condition_of[id(request.prompt)] for request in requests])
        return stretched_maps(features, requests, self._size)

    def features(self, requests: Sequence[ImageRequest], prompts: Sequence[Conditioning]) -> torch.Tensor:
        """(n, C, h, w) float32, one conditioning for each request."""
        import torch

        # As many images as pass through the U-Net together: its input takes more memory than its output.
        latent_size = [side // self.backbone.card.factor for side in self._size]
        step = max(1, self.backbone.rows_at_once(*latent_size) // self._rows)
        chunks = []
        for start in range(0, len(requests), step):
            rows = slice(start, start + step)
            chunks.append(self._mean_activations(requests[rows], prompts[rows]))
        return torch.cat(chunks)

    def _mean_activations(
        self, requests: Sequence[ImageRequest], prompts: Sequence[Conditioning]
    ) -> torch.Tensor:
        """`features` of images that pass through the U-Net together."""
        from baselines.networks.activations import concatenate_outputs

        # A prompt's `time` reaches every block, the first ones included.
        shifts_time = any(prompt.time is not None for prompt in prompts)
        states: list[Mapping[str, torch.Tensor]] = []
        for request, prompt in zip(requests, prompts, strict=True):
            if self._keeps_prefixes and (self._reads_own_first or not shifts_time):
                states.append(self._prefix_of(request))
            elif self._averages_early:
                states.append(self._run_prefix(request, prompt))
            else:
                states.append({"noisy": self._unet_input(request)})
        batch = dict(states[0])
        # A single image's tensors are used as they are, without a copy.
        if len(states) > 1:
            batch = concatenate_outputs(states, list(batch))
        noisy = batch.pop("noisy")
        # An image's draws lie next to each other.
        repeated = [prompt for prompt in prompts for _ in range(self._rows)]
        return self.backbone.mean_activations(
            noisy, self._timestep, repeated, self._submodule, self._rows, prefix_outputs=batch
        )

    def _prefix_of(self, request: ImageRequest) -> Mapping[str, torch.Tensor]:
        """An image's draws ("noisy") and the U-Net's prefix for them.

        Computed once per image as far as memory goes.
        """

        def compute() -> Mapping[str, torch.Tensor]:
            own = None
            if self._reads_own_first:
                own = self.backbone.condition(_prompt_alone(request))
            return self._run_prefix(request, own)

        return self._prefixes.once((request.identity, request.seed), compute)

    def _run_prefix(self, request: ImageRequest, prompt: Conditioning | None) -> Mapping[str, torch.Tensor]:
        """An image's draws ("noisy") and the prefix for them, or the means of both."""
        noisy = self._unet_input(request)
        prefix = self.backbone.run_prefix(noisy, self._timestep, prompt, self._first)
        if self._first:
            prefix = drop_unread(self.backbone.unet, prefix, self._submodule)
        states = {"noisy": noisy, **prefix}
        return average_draws(states, self._ensemble) if self._averages_early else states

    def _unet_input(self, request: ImageRequest) -> torch.Tensor:
        return self._latents(request, *self._posterior_moments(request))

    def _latents(self, request: ImageRequest, mean: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
        """(ensemble, 4, h, w): input of the U-Net for one image."""
        import torch

        from baselines.stable_diffusion.backbone import draw_noise

        key = (request.seed, request.identity, self._timestep)
        members = range(self._ensemble)
        noise = torch.stack([draw_noise(mean.shape, "noise", *key, member) for member in members])
        if self._posterior == "mean":
            latents = mean[None].expand(self._ensemble, -1, -1, -1)
        elif self._posterior == "sampled-once":
            # SD4Match repeats one sample of the latents.
            sample = mean + std * draw_noise(mean.shape, "posterior", *key).to(mean.device)
            latents = sample[None].expand(self._ensemble, -1, -1, -1)
        else:  # "sampled"
            # DIFT repeats the image before the encoder, so that each member has a sample of its own.
            draws = torch.stack([draw_noise(mean.shape, "posterior", *key, member) for member in members])
            latents = mean[None] + std[None] * draws.to(mean.device)
        return self.backbone.noisy(latents, noise.to(mean.device), self._timestep)

    def _posterior_moments(self, request: ImageRequest) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and deviation of an image's latents, (4, h, w).

        An image is encoded once for all its pairs and prompts.
        """
        import torch

        from baselines.networks.stored_tensors import load_or_compute
        from harness.preprocess import prepared_batch

        def encode() -> torch.Tensor:
            pixels = prepared_batch([request], self.prepare, self.backbone.device)
            # The VAE reads values in [-1, 1].
            posterior = self.backbone.posterior(2 * pixels - 1)
            return torch.stack([posterior.mean[0], posterior.std[0]])

        def load() -> Mapping[str, torch.Tensor]:
            moments = load_or_compute(self._store, request.identity, encode, self.backbone.device)
            return {"mean": moments[0], "std": moments[1]}

        # Extractors share the memory; the first word keeps their entries apart.
        key = ("stretched", self._size, self._resample, request.identity)
        moments = self._kept.once(key, load)
        return moments["mean"], moments["std"]


def _first_block(card: Card, params: Mapping[str, Scalar]) -> str | None:
    """The block from which on a pass is not spared; None where all of it is exact.

    Raises:
        UserError: the backbone has no such block before the level.
    """
    name = str(params.get("prompt_from", START))
    if name == START and params.get("draws_averaged", "end") == "end":
        return None
    return card.first_prompted(name, str(params["level"]))


def _prompt_alone(request: ImageRequest) -> Any:
    """The prompt that an image has by itself, of a request with the prompt of a pair."""
    alone = getattr(request.prompt, "alone", None)
    if alone is None:
        raise NotApplicable("prompt_from: the prompt says nothing of a picture by itself")
    return alone(request)


def _require_known(parameter: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise UserError(f"{parameter} '{value}': unknown value; known: {', '.join(known)}")


EXTRACTOR = ExtractorSpec(
    name="stable-diffusion",
    make=StretchedFeatures,
    scope="image",
    prompt_kinds=PROMPT_KINDS,
    fed_size=fed_size,
    params={
        "timestep": 261,
        "ensemble": 8,
        "level": "up-block 1",
        "posterior": "sampled",
        "resample": "bicubic",
        "prompt_from": START,
        "draws_averaged": "end",
    },
    param_help={
        "timestep": "diffusion timestep at which noise is added; 0 to 999 for Stable Diffusion",
        "ensemble": "draws of noise whose features are averaged; 1 or more",
        "level": "decoder features that are read: 'up-block 0' to 'up-block 3', or s5, s4, s3",
        "posterior": "latents from the VAE's posterior: sampled (for each draw), sampled-once, or mean",
        "resample": "filter that resizes the image: bilinear or bicubic (Pillow's), or bilinear-tensor, "
        "which neither smooths what becomes smaller nor rounds to bytes (SD4Match's test.py)",
        "prompt_from": "for a prompt made from the pair, the U-Net's block from which on it is read: start, "
        "or, not exact, 'down-block 1' and on, 'mid-block', 'up-block 1'; blocks before it read the prompt "
        "of the picture paired with itself, once a picture",
        "draws_averaged": "where the draws of noise are averaged: end (features), or, not exact, prompt: "
        "before the first block that reads the pair's prompt, behind which one pass does for all draws",
    },
    param_choices={"posterior": POSTERIORS, "resample": RESAMPLES, "draws_averaged": AVERAGED},
    weights=(STABLE_DIFFUSION_2_1,),
    description="decoder features of Stable Diffusion for a stretched image",
)

METHOD = MethodSpec(
    name="dift",
    extractor="stable-diffusion",
    prompt="category",
    localizer="argmax-original",
    tuned_on=(NOT_STATED,),
    description="DIFT (2023): Stable Diffusion 2-1, t 261, up-block 1, mean of 8, 'a photo of a {category}'",
    notes=(
        "Follows the authors' code: 768 x 768 stretched (Pillow's default filter of its time, bicubic), a "
        "sample of the VAE posterior and noise for each of 8 ensemble members, argmax of the cosine at "
        "original resolution. Its noise is unseeded; here it belongs to (seed, image, timestep, member). "
        "Its t is from a grid search (SD4Match, section 4.4), the data of which are not stated there."
    ),
    citation=citations.DIFT,
)
