"""Tokens of a vision transformer's last block for padded images: the DINOv2 half of SD+DINO."""

from __future__ import annotations

from functools import partial

import torch

from baselines.networks.pixels import normalize_pixels
from baselines.networks.stored_tensors import load_or_compute
from baselines.vit.backbone import VisionTransformer
from baselines.vit.card import VitCard
from harness.caching.lru import ByteLRU, Tensors
from harness.plugins.closure import code_hash
from harness.preprocess import padded_batch
from harness.specs import ImageRequest, MakeContext


class PaddedTokens:
    """Image -> (C, h, w) tokens of the last block, before the final norm, of the padded image.

    Args:
        memory: keeps tokens of images.
        source: the backbone's weight source.
        side: of the padded square in pixels.
        position_offset: as of `VisionTransformer`.
    """

    def __init__(
        self,
        context: MakeContext,
        memory: ByteLRU[Tensors],
        source: str,
        side: int,
        position_offset: float | None = None,
    ) -> None:
        self._memory = memory
        self._context = context
        self._side = side
        self._folder = context.weights[source]
        card = VitCard.of(self._folder)
        self._offset = card.position_offset(position_offset)
        self._store = None
        self._backbone: VisionTransformer | None = None
        if context.cache:
            positions = side // card.patch
            self._store = context.cache.store(
                "dino-padded",
                (card.width, positions, positions),
                source=source,
                package="transformers",
                padded=side,
                resample="lanczos",
                position_offset=self._offset,
                code=code_hash(__name__, "harness.preprocess"),
            )
        else:
            # With a cache the network waits for the first image that is not in it.
            self._backbone = self._load()

    def __call__(self, request: ImageRequest) -> torch.Tensor:
        """(C, h, w); computed once for an image."""

        def load() -> dict[str, torch.Tensor]:
            compute = partial(self._compute, request)
            return {"tokens": load_or_compute(self._store, request.identity, compute, self._context.device)}

        key = ("dino", str(self._folder), self._context.precision, self._offset, request.identity)
        return self._memory.once(key, load)["tokens"]

    def _compute(self, request: ImageRequest) -> torch.Tensor:
        self._backbone = self._backbone or self._load()
        features = self._backbone.features(normalize_pixels(padded_batch([request], self._side)))
        return features[0]

    def _load(self) -> VisionTransformer:
        context = self._context
        return VisionTransformer(
            self._folder, context.device, context.precision, context.compiled, self._offset
        )
