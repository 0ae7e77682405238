"""States of Stable Diffusion's decoder for padded images, by overlapping crops (SD+DINO)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from baselines.networks.stored_tensors import load_or_compute
from baselines.stable_diffusion.backbone import StableDiffusion, draw_noise
from baselines.stable_diffusion.card import DECODER_STATES
from baselines.stable_diffusion.conditioning import prompt_key
from baselines.stable_diffusion.stores import LATENTS
from harness.caching.disk_cache import Cache
from harness.caching.lru import ByteLRU, Tensors
from harness.plugins.closure import code_hash
from harness.preprocess import padded_batch
from harness.specs import ImageRequest


class PaddedDecoderStates:
    """Image and prompt -> the decoder's states s5, s4 and s3 of the padded image.

    Padded image -> four overlapping crops of the native size -> mean of the VAE's posterior -> noise at
    `timestep` -> states, averaged where crops overlap.

    Args:
        memory: keeps states and latents of images.
        source: the backbone's weight source.
        side: of the padded square in pixels.
        cache: keeps latents on disk, or None.
    """

    def __init__(
        self,
        backbone: StableDiffusion,
        memory: ByteLRU[Tensors],
        *,
        timestep: int,
        source: str,
        side: int,
        cache: Cache | None,
    ) -> None:
        self._backbone = backbone
        self._memory = memory
        self._timestep = timestep
        self._side = side
        self._crop = backbone.card.native
        # A crop in each corner, as ODISE's sliding window: 0 and 448 of 960. They are one crop if it fits.
        offsets = sorted({0, side - self._crop})
        self._corners: list[tuple[int, int]] = []
        for top in offsets:
            for left in offsets:
                self._corners.append((top, left))
        self._store = None
        if cache:
            latent_side = self._crop // backbone.card.factor
            # (n, 4, h, w) posterior means of the n crops.
            self._store = cache.store(
                "crops",
                (len(self._corners), LATENTS, latent_side, latent_side),
                source=source,
                part="vae/",
                package="diffusers",
                padded=side,
                resample="lanczos",
                crop=self._crop,
                corners=self._corners,
                code=code_hash(__name__, "harness.preprocess"),
            )

    def __call__(self, request: ImageRequest) -> Mapping[str, torch.Tensor]:
        """Level -> (C, h, w) float32 of the padded image; computed once for an image and prompt."""
        key = ("states", self._timestep, request.identity, request.seed, prompt_key(request.prompt))
        return self._memory.once(key, lambda: self._compute(request))

    def _compute(self, request: ImageRequest) -> dict[str, torch.Tensor]:
        backbone = self._backbone
        latents = self._latents(request)
        # The same noise for every crop and image, as in the authors' code, where it comes from seed 42.
        noise = draw_noise(latents.shape[1:], "noise", request.seed, "shared", self._timestep)
        noise = noise.to(latents.device).expand_as(latents)
        noisy = backbone.noisy(latents, noise, self._timestep)
        prompt = backbone.condition("" if request.prompt is None else request.prompt)
        submodules = [backbone.card.levels[level] for level in DECODER_STATES]
        # One prompt serves all crops; ODISE's captioner looks at each crop by itself.
        crops = backbone.activations(noisy, self._timestep, [prompt] * len(latents), submodules)
        states = {}
        for level in reversed(DECODER_STATES):
            state = crops[backbone.card.levels[level]].float()
            stride = backbone.card.strides[level]
            states[level] = assemble_crops(state, self._corners, self._side, stride)
        return states

    def _latents(self, request: ImageRequest) -> torch.Tensor:
        """(n, 4, h, w) posterior means of an image's crops; encoded once."""

        def encode() -> torch.Tensor:
            # The VAE reads values in [-1, 1].
            pixels = 2 * padded_batch([request], self._side)[0] - 1
            crops = []
            for top, left in self._corners:
                crops.append(pixels[:, top : top + self._crop, left : left + self._crop])
            return self._backbone.posterior(torch.stack(crops)).mean

        def load() -> dict[str, torch.Tensor]:
            return {"mean": load_or_compute(self._store, request.identity, encode, self._backbone.device)}

        return self._memory.once(("crops", request.identity), load)["mean"]


def assemble_crops(
    crops: torch.Tensor, corners: Sequence[tuple[int, int]], side: int, stride: int
) -> torch.Tensor:
    """Assembles the states of crops into the state of the whole image, averaged where crops overlap.

    Args:
        crops: (n, C, h, w).
        corners: (top, left) of each crop in pixels; multiples of `stride`.
        side: of the whole, in pixels.
        stride: pixels from one position of the state to the next.

    Returns:
        (C, side / stride, side / stride).
    """
    positions = side // stride
    total = crops.new_zeros(crops.shape[1], positions, positions)
    count = crops.new_zeros(positions, positions)
    height, width = crops.shape[-2:]
    for crop, (top, left) in zip(crops, corners, strict=True):
        rows = slice(top // stride, top // stride + height)
        columns = slice(left // stride, left // stride + width)
        total[:, rows, columns] += crop
        count[rows, columns] += 1
    return total / count
