"""Features of frozen networks that an aggregation network reads: SD+DINO's levels, or DINOv2's tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from baselines.methods.dino import DINOV2_SIDE, PaddedInput
from baselines.methods.sd_dino import LEVELS, square_side
from baselines.sources import DINOV2, STABLE_DIFFUSION_1_5
from baselines.stable_diffusion.decoder_states import PaddedDecoderStates
from baselines.stable_diffusion.shared import shared_backbone
from baselines.vit.card import VitCard
from baselines.vit.padded_tokens import PaddedTokens
from harness.errors import UserError
from harness.frames import Frame
from harness.specs import FeatureMap, ImageRequest, MakeContext
from harness.specs.lengths import unit_features


class SdDinoFeatures:
    """Stable Diffusion's decoder states s3, s4 and s5 and DINOv2's tokens, one after another.

    All are brought to the grid of s3 bilinearly: 60 x 60 cells, 3,968 channels for the published networks.
    They are `matchers.training.objective.Features`; the frame is that of DINOv2's padded picture.

    Raises:
        UserError: weights lack something, or the U-Net's decoder has fewer than three blocks.
    """

    def __init__(self, context: MakeContext) -> None:
        timestep = int(str(context.params["timestep"]))
        folder = context.weights[STABLE_DIFFUSION_1_5]
        backbone, memory = shared_backbone(context, folder, context.cache_bytes)
        backbone.check_timestep(timestep)
        card = backbone.card
        if set(LEVELS) - card.levels.keys():
            raise UserError(
                f"{folder}: its decoder has fewer than three blocks; levels {', '.join(LEVELS)} are read"
            )
        self._states = PaddedDecoderStates(
            backbone,
            memory,
            timestep=timestep,
            source=STABLE_DIFFUSION_1_5,
            side=square_side(card.native, card.strides["s5"]),
            cache=context.cache,
        )
        dino = VitCard.of(context.weights[DINOV2])
        self.side = dino.side(DINOV2_SIDE)
        offset = dino.chosen_position_offset(context.params)
        self._tokens = PaddedTokens(context, memory, DINOV2, self.side, offset)
        self.channels = (*(card.channels[level] for level in LEVELS), dino.width)

    def __call__(self, request: ImageRequest) -> FeatureMap:
        """(3968, 60, 60) float32 for the published networks."""
        states = self._states(request)
        maps = [states[level].float() for level in LEVELS] + [self._tokens(request).float()]
        size = states["s3"].shape[-2:]
        data = torch.cat([_resize_map(each, size) for each in maps])
        return FeatureMap(data, Frame.padded(request.size, self.side), "patch-centre")


class DinoFeatures:
    """DINOv2's tokens of the padded picture (`matchers.training.objective.Features`).

    Attributes:
        prepare: reads pictures ahead (`harness.specs.PreparingExtractor`).
    """

    def __init__(self, context: MakeContext) -> None:
        params = {"layer": -1, "facet": "token", "stride": 1, **context.params}
        padded = PaddedInput(DINOV2, DINOV2_SIDE)
        self._extractor = padded.make(replace(context, params=params))
        card = VitCard.of(context.weights[DINOV2])
        self.side = card.side(DINOV2_SIDE)
        self.channels: tuple[int, ...] = (card.width,)
        self.prepare = self._extractor.prepare

    def __call__(self, request: ImageRequest) -> FeatureMap:
        """(768, 60, 60) for the published network."""
        return self.extract([request])[0]

    def extract(self, requests: Sequence[ImageRequest]) -> list[FeatureMap]:
        """The tokens of several pictures in one batch."""
        return self._extractor.extract(requests)


class ZeroShotFeatures:
    """SD+DINO's levels as they are, for a comparison by cosine (an `ImageExtractor`).

    The three states together and the tokens are each normalised, so that both weigh the same.
    """

    def __init__(self, context: MakeContext) -> None:
        self._features = SdDinoFeatures(context)

    @torch.inference_mode()
    def extract(self, requests: Sequence[ImageRequest]) -> list[FeatureMap]:
        """(3968, 60, 60) of each picture for the published networks."""
        return [self._normalize(self._features(request)) for request in requests]

    def _normalize(self, features: FeatureMap) -> FeatureMap:
        tokens = self._features.channels[-1]
        halves = features.data.split([len(features.data) - tokens, tokens])
        return replace(features, data=torch.cat([unit_features(half, 0) for half in halves]))


def _resize_map(features: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(features[None], size=tuple(size), mode="bilinear", align_corners=False)[0]
