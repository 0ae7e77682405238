"""MARCO's features of a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import torch

from baselines.vit.timm_files import read_card
from harness.specs import FeatureMap, ImageRequest, MakeContext
from heads.marco.files import load_marco
from heads.marco.inputs import Fit, input_frame, preparation
from heads.marco.names import BACKBONE, FACTOR, SOURCE
from matchers.backbones.inputs import network_batch


def input_side(weights: Mapping[str, Path]) -> int:
    """Side in pixels of the square input. Raises `UserError` where the backbone's card is damaged."""
    return read_card(weights[BACKBONE]).side(FACTOR)


class MarcoFeatures:
    """Enlarged tokens of an adapted DINO (an `ImageExtractor`).

    Parameter: `fit` (`heads.marco.inputs.Fit`).

    Raises:
        UserError: backbone or weights are not what they should be, or do not belong together.
    """

    def __init__(self, context: MakeContext) -> None:
        self._side = input_side(context.weights)
        self._fit = cast("Fit", context.params["fit"])
        backbone, weights = context.weights[BACKBONE], context.weights[SOURCE]
        self._network = load_marco(backbone, weights, context.device, context.precision)
        self._device = torch.device(context.device)
        self._dtype = next(self._network.head.parameters()).dtype
        self.prepare = preparation(self._side, self._fit)

    @torch.inference_mode()
    def extract(self, requests: Sequence[ImageRequest]) -> list[FeatureMap]:
        """See `harness.specs.ImageExtractor`; (1024, 220, 220) and 198 MB each for the published network."""
        pixels = network_batch(requests, self.prepare, self._device)
        tokens = self._network.tokens(pixels.to(self._dtype))
        # One by one: each step of an enlargement makes a map of that size.
        maps = [self._network.head.upscale(each[None])[0].contiguous() for each in tokens]
        frames = [input_frame(request.size, self._side, self._fit) for request in requests]
        return [FeatureMap(data, frame) for data, frame in zip(maps, frames, strict=True)]
