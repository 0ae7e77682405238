"""SD+DINO (Zhang et al., 2023), and its Stable Diffusion part alone, which SD4Match's Table 1 calls SD+DINO*."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from baselines.methods.dift import PROMPT_KINDS
from baselines.methods.dino import DINOV2_SIDE
from baselines.vit.card import VitCard
from harness.errors import UserError
from harness.frames import Frame
from harness.specs import ExtractorSpec, FeatureMap, ImageRequest, MakeContext, MethodSpec

if TYPE_CHECKING:
    import torch

    from harness.caching.array_store import Store
    from harness.caching.disk_cache import Cache

SD, DINO = "stable-diffusion-1-5", "dinov2-base"

LEVELS = ("s3", "s4", "s5")

COMPONENTS = 256
"""Directions that PCA keeps at each level."""


def padded_side(native: int, deepest: int) -> int:
    """Side of the padded square: 15/8 of the native size (960 of 512), in whole cells of the deepest level that is read."""
    return round(native * 15 / 8 / deepest) * deepest


def image_size(weights: Mapping[str, Path]) -> tuple[int, int]:
    """Width and height in pixels of the padded image."""
    from baselines.stable_diffusion.card import Card

    card = Card.of(weights[SD])
    side = padded_side(card.native, card.strides["s5"])
    return side, side


class SDDino:
    """Decoder states of padded images, reduced by a PCA of both images of a pair, alone or with DINOv2 (a `PairExtractor`).

    Padded image -> four overlapping crops of the native size -> VAE posterior mean -> noise at `timestep` -> states s5, s4, s3 of the
    U-Net's decoder, averaged where crops overlap. Per pair and level: principal components of both images' cells together. Levels are
    brought to the size of s3 and joined. With `dino`: both halves normalised, then joined.
    """

    def __init__(self, context: MakeContext) -> None:
        from baselines.stable_diffusion.shared import shared_backbone

        self._timestep, self._fused = int(str(context.params["timestep"])), bool(context.params["dino"])
        folder = context.weights[SD]
        self.backbone, self._kept = shared_backbone(context, folder, context.cache_bytes)
        self.backbone.check_timestep(self._timestep)
        card = self.backbone.card
        if any(level not in card.levels for level in LEVELS):
            raise UserError(
                f"{folder}: its decoder has fewer than three blocks; SD+DINO reads {', '.join(LEVELS)}"
            )
        self._crop, self._factor = card.native, card.factor
        self._side = padded_side(card.native, card.strides["s5"])
        offsets = sorted({0, self._side - self._crop})
        self._corners = [(y, x) for y in offsets for x in offsets]
        self._crops = self._crop_store(context.cache) if context.cache else None
        if self._fused:
            self._prepare_dino(context)

    def _crop_store(self, cache: Cache) -> Store:
        """(n, 4, h, w) posterior means of the n crops."""
        from baselines.stable_diffusion.stores import LATENTS

        cells = self._crop // self._factor
        return cache.store(
            "crops",
            (len(self._corners), LATENTS, cells, cells),
            source=SD,
            part="vae/",
            package="diffusers",
            padded=self._side,
            resample="lanczos",
            crop=self._crop,
            corners=self._corners,
        )

    def _prepare_dino(self, context: MakeContext) -> None:
        from baselines.vit.backbone import VisionTransformer

        folder, cache = context.weights[DINO], context.cache
        card = VitCard.of(folder)
        self._dino_key, self._dino_side = (str(folder), context.precision), card.side(DINOV2_SIDE)
        self._make_dino = partial(
            VisionTransformer, folder, context.device, context.precision, context.compiled
        )
        # With a cache there may be nothing to compute.
        self._dino: Any = None if cache else self._make_dino()
        self._tokens = self._token_store(cache, card) if cache else None

    def _token_store(self, cache: Cache, card: VitCard) -> Store:
        """(C, h, w) tokens of DINO's last block."""
        side, cells = self._dino_side, self._dino_side // card.patch
        return cache.store(
            "dino-padded",
            (card.width, cells, cells),
            source=DINO,
            package="transformers",
            padded=side,
            resample="lanczos",
        )

    def extract_pairs(
        self, requests: Sequence[tuple[ImageRequest, ImageRequest]]
    ) -> list[tuple[FeatureMap, FeatureMap]]:
        """Feature maps of both images of each pair: (768, 60, 60) at 960 x 960, (1536, 60, 60) with DINOv2."""
        return [self._pair(*pair) for pair in requests]

    def _pair(self, source: ImageRequest, target: ImageRequest) -> tuple[FeatureMap, FeatureMap]:
        import torch
        import torch.nn.functional as F

        states = [self._states(request) for request in (source, target)]
        reduced = [principal_components(states[0][level], states[1][level], COMPONENTS) for level in LEVELS]
        maps = []
        for which, request in enumerate((source, target)):
            s3, s4, s5 = (pair[which] for pair in reduced)
            coarse = torch.cat([s4, _resized(s5, s4.shape[-2:])])
            joined = torch.cat([s3, _resized(coarse, s3.shape[-2:])])
            if self._fused:
                dino = self._dino_features(request)
                dino = _resized(dino, s3.shape[-2:])
                joined = torch.cat([F.normalize(joined, dim=0), F.normalize(dino, dim=0)])
            maps.append(FeatureMap(joined, Frame.padded(request.size, self._side), "patch-centre"))
        return maps[0], maps[1]

    # ----------------------------------------------------------------------------------------------------- Stable Diffusion's part

    def _states(self, request: ImageRequest) -> Mapping[str, torch.Tensor]:
        """Level -> (C, h, w) float32 of the padded image; computed once for an image and prompt."""
        from baselines.stable_diffusion.conditioning import prompt_key

        key = ("states", self._timestep, request.identity, request.seed, prompt_key(request.prompt))
        return self._kept.once(key, lambda: self._compute(request))

    def _compute(self, request: ImageRequest) -> dict[str, torch.Tensor]:
        import torch

        from baselines.stable_diffusion.backbone import draw_noise
        from baselines.stable_diffusion.stores import stored
        from harness.preprocess import padded_batch

        def encode() -> torch.Tensor:
            pixels = 2 * padded_batch([request], self._side)[0] - 1
            crops = torch.stack([pixels[:, y : y + self._crop, x : x + self._crop] for y, x in self._corners])
            return self.backbone.posterior(crops).mean

        latents = self._kept.once(
            ("crops", request.identity),
            lambda: {"mean": stored(self._crops, request.identity, encode, self.backbone.device)},
        )["mean"]
        # The same noise for every crop and image, as in the authors' code, where it comes from seed 42.
        noise = draw_noise(latents.shape[1:], "noise", request.seed, "shared", self._timestep).to(
            latents.device
        )
        noisy = self.backbone.noisy(latents, noise.expand_as(latents), self._timestep)
        prompt = self.backbone.condition("" if request.prompt is None else request.prompt)
        places = [self.backbone.card.levels[level] for level in reversed(LEVELS)]
        passed = self.backbone.activations(noisy, self._timestep, [prompt] * len(latents), places)
        return {
            level: assembled(
                passed[self.backbone.card.levels[level]].float(),
                self._corners,
                self._side,
                self.backbone.card.strides[level],
            )
            for level in LEVELS
        }

    # --------------------------------------------------------------------------------------------------------------- DINO's part

    def _dino_features(self, request: ImageRequest) -> torch.Tensor:
        """(C, h, w) tokens of the last block before the final norm, of the image padded to 840/518 of DINOv2's native size."""
        from baselines.stable_diffusion.stores import stored

        def compute() -> torch.Tensor:
            from baselines.vit.backbone import normalised
            from harness.preprocess import padded_batch

            self._dino = self._dino or self._make_dino()
            features: torch.Tensor = self._dino.features(normalised(padded_batch([request], self._dino_side)))
            return features[0]

        return self._kept.once(
            ("dino", *self._dino_key, request.identity),
            lambda: {"tokens": stored(self._tokens, request.identity, compute, self.backbone.device)},
        )["tokens"]


def assembled(
    crops: torch.Tensor, corners: Sequence[tuple[int, int]], side: int, stride: int
) -> torch.Tensor:
    """States of crops -> the state of the whole, averaged where crops overlap.

    Args:
        crops: (n, C, h, w).
        corners: (top, left) of each crop in pixels; multiples of `stride`.
        side: of the whole, in pixels.
        stride: pixels to a cell.

    Returns:
        (C, side / stride, side / stride).
    """
    cells = side // stride
    total, count = crops.new_zeros(crops.shape[1], cells, cells), crops.new_zeros(cells, cells)
    for crop, (top, left) in zip(crops, corners, strict=True):
        rows, columns = (
            slice(at // stride, at // stride + length)
            for at, length in zip((top, left), crop.shape[-2:], strict=True)
        )
        total[:, rows, columns] += crop
        count[rows, columns] += 1
    return total / count


def principal_components(
    first: torch.Tensor, second: torch.Tensor, number: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Both maps in the principal directions of all their cells together.

    From the exact eigenvectors of the covariance, where the authors use `torch.pca_lowrank`, which draws from the global random stream.

    Args:
        first, second: (C, h, w), (C, h', w').
        number: directions to keep; all C where there are fewer.
    """
    import torch

    both = torch.cat([first.flatten(1), second.flatten(1)], dim=1)
    centred = both - both.mean(dim=1, keepdim=True)
    _, vectors = torch.linalg.eigh((centred @ centred.T).double())
    projected = vectors.flip(1)[:, :number].T.to(centred.dtype) @ centred
    parts = projected.split([first[0].numel(), second[0].numel()], dim=1)
    return parts[0].unflatten(1, first.shape[1:]), parts[1].unflatten(1, second.shape[1:])


def _resized(features: torch.Tensor, size: Any) -> torch.Tensor:
    import torch.nn.functional as F

    return F.interpolate(features[None], size=tuple(size), mode="bilinear", align_corners=False)[0]


def _extractor(name: str, dino: bool) -> ExtractorSpec:
    return ExtractorSpec(
        name=name,
        make=SDDino,
        scope="pair",
        prompt_kinds=PROMPT_KINDS,
        image_size=image_size,
        params={"timestep": 100, "dino": dino},
        param_help={
            "timestep": "diffusion timestep at which noise is added; 0 to 999 for Stable Diffusion",
            "dino": "whether DINOv2's features are joined; follows from the method, leave it as it is",
        },
        weights=(SD, DINO) if dino else (SD,),
        description="decoder states s5, s4, s3 of the padded image, joint PCA per pair"
        + (", with DINOv2" if dino else ""),
    )


_NOTES = (
    "Follows the authors' code: 960 x 960 padded in black, four crops of 512, posterior mean, t 100, one noise for all images, decoder "
    "states before their last skip connection, PCA of both images to 256 per level. Differs: the PCA is exact (theirs draws random "
    "numbers), a query is read by bilinear interpolation (theirs takes the patch it falls into), and no captioner adds to the timestep "
    "unless it is the prompt (theirs keeps that branch beside text)."
)

EXTRACTORS = (_extractor("sd-decoder-states", dino=False), _extractor("sd-decoder-states-dinov2", dino=True))

METHODS = (
    MethodSpec(
        name="sd-dino-star",
        extractor="sd-decoder-states",
        prompt="implicit-captioner",
        localizer="argmax",
        description="SD+DINO*: the Stable Diffusion 1-5 part of SD+DINO alone",
        notes=_NOTES,
    ),
    MethodSpec(
        name="sd-dino",
        extractor="sd-decoder-states-dinov2",
        prompt="implicit-captioner",
        localizer="argmax",
        description="SD+DINO (2023): Stable Diffusion 1-5 and DINOv2",
        notes=_NOTES
        + " DINOv2: 840 x 840 padded, last block before the final norm; halves normalised and joined, weights 1 and 1.",
    ),
)
