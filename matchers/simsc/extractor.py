"""What SimSC computes of a picture alone: its tokens."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from harness.frames import PatchGrid, Size
from harness.preprocess import stretched_maps
from harness.specs import FeatureMap, ImageRequest, MakeContext
from matchers.backbones.inputs import network_batch, stretched_prepare
from matchers.simsc.files import load_simsc, read_side
from matchers.simsc.names import SOURCE


class SimScFeatures:
    """Tokens of the tuned vision transformer (an `ImageExtractor`), of the stretched picture.

    Raises:
        UserError: the file is not this network's.
    """

    def __init__(self, context: MakeContext) -> None:
        path = context.weights[SOURCE]
        self._device = torch.device(context.device)
        self._network = load_simsc(path, context.precision).to(self._device)
        self._side = read_side(path)
        self._network.card.grid_size(self._side, self._side, self._network.card.patch)
        self.prepare = stretched_prepare(self._side)

    @torch.inference_mode()
    def extract(self, requests: Sequence[ImageRequest]) -> list[FeatureMap]:
        """See `harness.specs.ImageExtractor`; (768, 24, 24) for iBOT's base model at 384 x 384."""
        pixels = network_batch(requests, self.prepare, self._device).to(self._network.backbone.dtype)
        patch = self._network.card.patch
        tokens = self._network.encode(pixels).float().contiguous()
        return stretched_maps(tokens, requests, Size(self._side, self._side), PatchGrid(patch, patch))
