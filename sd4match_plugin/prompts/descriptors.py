"""Descriptors of pictures for the conditional prompting module, by a DINO that is loaded when the first
picture needs it.
"""

from __future__ import annotations

from pathlib import Path

import PIL.Image
import torch

from baselines.sources import DINOV2
from baselines.vit.card import VitCard
from harness.caching.array_store import Store
from harness.caching.disk_cache import Cache
from harness.plugins.closure import code_hash
from sd4match_plugin.prompts.cpm import Descriptor
from sd4match_plugin.prompts.image_patches import ImagePatches, Preprocessing, token_shape


class Describer:
    """Picture -> (P, W) of all patches, or (W,) of the class token; float32 on the CPU.

    Args:
        folder: of the DINO.
        precision: of the network.
        position_offset: cells added to the grid to which its positions are interpolated; None for what its
            authors add.

    Attributes:
        kind: `patches` or `head`.
        width, count: W and P.
        position_offset: what is added, as a number.

    Raises:
        UserError: the folder holds another network, or its processor's pictures differ in size.
    """

    def __init__(
        self,
        folder: Path,
        kind: Descriptor,
        device: str,
        precision: str,
        position_offset: float | None = None,
    ) -> None:
        self.kind, self._folder, self._device, self._precision = kind, folder, device, precision
        self.width, self.count = token_shape(folder)
        self.position_offset = VitCard.of(folder).position_offset(position_offset)
        self._network: ImagePatches | None = None

    def __call__(self, image: PIL.Image.Image) -> torch.Tensor:
        """Describes a picture. Raises `UserError` where the network cannot be loaded."""
        network = self.load()
        return (network.patches if self.kind == "patches" else network.heads)([image])[0]

    def load(self) -> ImagePatches:
        """Returns the network, loaded. Raises `UserError` where the folder lacks something or is damaged."""
        if self._network is None:
            self._network = ImagePatches(self._folder, self._device, self._precision, self.position_offset)
        return self._network

    def release(self) -> None:
        """Gives the network's memory back."""
        self._network = None

    def store(self, cache: Cache) -> Store:
        """The part of a cache on disk that keeps its descriptors."""
        shape = (self.count, self.width) if self.kind == "patches" else (self.width,)
        preprocessing = Preprocessing.of(self._folder).key
        return cache.store(
            f"dino-{self.kind}",
            shape,
            source=DINOV2,
            package="transformers",
            preprocessing=preprocessing,
            position_offset=self.position_offset,
            code=code_hash(__name__),
        )
