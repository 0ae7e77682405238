"""Hyperfeatures' training: a contrastive loss of keypoints among all cells, on frozen features."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.sources import STABLE_DIFFUSION_1_5
from harness.errors import UserError
from harness.frames import Frame
from harness.messages import counted
from harness.specs import FeatureMap, ImageRequest, MakeContext, Scalar
from heads.aggregation.network import GROUPS, AggregationNetwork, AggregationShape
from heads.hyperfeatures.decoder import DecoderSteps
from matchers.training.objective import (
    Batch,
    FeatureSource,
    Losses,
    Objective,
    ParameterGroups,
    Tensors,
    TrainingSettings,
)

SCALE = 1 / 0.07
"""Factor of the cosines; the authors' is a constant, too."""


class StepFeatures:
    """All levels of all kept steps of a picture, one timestep after another.

    Attributes:
        channels: of each level of each step.
        side: of the square in pixels.
    """

    def __init__(self, context: MakeContext) -> None:
        self._steps = DecoderSteps(context)
        self.channels = self._steps.channels * self._steps.kept
        self.side = self._steps.size.width

    @torch.no_grad()
    def __call__(self, request: ImageRequest) -> FeatureMap:
        """(C, h, w) features, on as many cells as there are latents."""
        side = self._steps.side
        latents = self._steps.latents(request)[None]
        levels = [
            F.interpolate(level.float(), size=(side, side), mode="bilinear", align_corners=False)[0]
            for maps in self._steps.maps(latents, self._steps.conditions([request]))
            for level in maps
        ]
        return FeatureMap(torch.cat(levels), Frame.stretched(request.size, self._steps.size))


def make_network(tensors: Tensors, settings: TrainingSettings, timesteps: int) -> AggregationNetwork:
    """A new network for the levels that tensors tell of. Raises `UserError` where sizes do not fit."""
    groups, width, projection = (settings.whole(name) for name in ("groups", "width", "projection"))
    if groups < 1 or width < 1 or projection < 1 or width % groups or projection % groups:
        raise UserError(
            f"projection={projection}, width={width}, groups={groups}: not so many groups of equal size; "
            "take multiples of groups"
        )
    channels = tuple(tensor.shape[0] for tensor in tensors.values())
    per_timestep = len(channels) // timesteps
    return AggregationNetwork(
        AggregationShape(
            channels[:per_timestep], projection, width, repeats=timesteps, groups=groups, scales=()
        )
    )


def cell_numbers(points: Tensor, side: int, cells: int) -> Tensor:
    """Points (N, 2) in pixels of a square of `side` -> (N) numbers of cells of a grid of `cells` x `cells`.

    A point is scaled to the grid as if that were a smaller picture, and goes to the nearest whole number,
    halves to the even one.
    """
    x, y = (points * (cells / side)).clamp(0, cells - 1).round().long().unbind(1)
    return cells * y + x


def lose(network: nn.Module, batch: Batch, settings: TrainingSettings, generator: torch.Generator) -> Losses:
    """Cross entropy of each keypoint's cell among all cells of the other picture, in either direction."""
    assert isinstance(network, AggregationNetwork)
    count, side = len(batch), settings.image_size
    maps = F.normalize(network(torch.cat([batch.source, batch.target])), dim=1)
    losses = []
    points = zip(batch.source_points, batch.target_points, strict=True)
    for source, target, (start, goal) in zip(maps[:count], maps[count:], points, strict=True):
        if not len(start):
            continue
        cosines = SCALE * source.flatten(1).T @ target.flatten(1)
        starts, goals = (cell_numbers(ends, side, source.shape[-1]) for ends in (start, goal))
        there = F.cross_entropy(cosines[starts], goals)
        back = F.cross_entropy(cosines.T[goals], starts)
        losses.append((there + back) / 2)
    # A batch may hold pairs without keypoints alone.
    return {"loss": torch.stack(losses).mean() if losses else maps.sum() * 0}


def groups(network: nn.Module) -> ParameterGroups:
    """Everything at one rate; the backbone is no part of the network."""
    return ParameterGroups(list(network.parameters()))


def checkpoint(network: nn.Module, settings: TrainingSettings) -> tuple[Tensors, Mapping[str, Scalar]]:
    """The network's tensors in the authors' names, and the groups that their shapes do not tell."""
    assert isinstance(network, AggregationNetwork)
    return network.state_dict(), {"groups": network.shape.groups}


PUBLISHED = TrainingSettings(
    supervision="keypoints",
    image_size=512,
    optimizer="adamw",
    rate=1e-3,
    batch=1,
    steps=5000,
    options={"projection": 384, "width": 96, "groups": GROUPS},
)

SMALL = PUBLISHED.model_copy(
    update={
        "image_size": 96,
        "batch": 4,
        "steps": 300,
        "decay": "cosine",
        "options": {"projection": 96, "width": 24, "groups": 8},
    }
)

OPTION_HELP = {
    "projection": "channels of the result",
    "width": "channels within a bottleneck; the authors' is a quarter of the result's",
    "groups": "groups of its norms, of which channels and width are multiples",
}


def make_objective(method: str, timesteps: int) -> Objective:
    """The objective of a method whose recipe keeps so many timesteps."""
    return Objective(
        method=method,
        source=method,
        features=FeatureSource(weights=(STABLE_DIFFUSION_1_5,), make=StepFeatures),
        published=PUBLISHED,
        small=SMALL,
        make_network=partial(make_network, timesteps=timesteps),
        groups=groups,
        loss=lose,
        checkpoint=checkpoint,
        option_help=OPTION_HELP,
        notes=(
            f"The frozen U-Net's features at {counted(timesteps, 'timestep')}, pictures one at a time. As "
            f"in the authors' program, cosines times {SCALE:.1f} are compared at the nearest cells of the "
            "points. Differs: the sample of the VAE's posterior is one for each picture, not another in each "
            "step."
        ),
    )
