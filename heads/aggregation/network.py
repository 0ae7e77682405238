"""The aggregation network of GeoAware-SC, DIY-SC and Diffusion Hyperfeatures.

After Luo et al., "Diffusion Hyperfeatures", NeurIPS 2023, and Zhang et al., "Telling Left from Right",
CVPR 2024. Names of modules are those of the authors' checkpoints.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

GROUPS = 32
"""Groups of the published networks' group norms; no tensor's shape tells them."""

SCALES = {"logit_scale": math.log(1 / 0.07), "self_logit_scale": math.log(10)}
"""Scalars that some files hold -> where they begin: logarithms of factors of contrastive losses."""

_BOTTLENECKS = "bottleneck_layers."


@dataclass(frozen=True)
class AggregationShape:
    """Sizes of an aggregation network.

    Attributes:
        channels: channels of the features of each level.
        projection: channels of the result.
        width: channels within a bottleneck.
        blocks: bottlenecks on top of each other, at every level.
        repeats: times that all levels come in the input, one after another: timesteps.
        groups: groups of the group norms.
        scales: names of `SCALES` that it has.
    """

    channels: tuple[int, ...]
    projection: int
    width: int
    blocks: int = 1
    repeats: int = 1
    groups: int = GROUPS
    scales: tuple[str, ...] = tuple(SCALES)

    @property
    def input_channels(self) -> int:
        """Channels of the features of all levels, and of all timesteps."""
        return sum(self.channels) * self.repeats

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor], groups: int = GROUPS) -> Self:
        """Reads the sizes off a checkpoint's tensors, which must have the names that the network has.

        Raises:
            KeyError: a tensor is missing.
            ValueError: there are mixing weights for a part of the levels, or channels not for all groups.
        """
        mixing = tensors["mixing_weights"].numel()
        levels = _count(tensors, _BOTTLENECKS, ".0.conv1.weight")
        first = tensors[f"{_BOTTLENECKS}0.0.conv1.weight"]
        projection = len(tensors[f"{_BOTTLENECKS}0.0.conv3.weight"])
        if mixing % levels:
            raise ValueError(f"it has {mixing} mixing weights for {levels} levels")
        for channels in (projection, len(first)):
            if groups < 1 or channels % groups:
                raise ValueError(f"its {channels} channels are not {groups} groups of equal size")
        return cls(
            channels=tuple(
                tensors[f"{_BOTTLENECKS}{level}.0.conv1.weight"].shape[1] for level in range(levels)
            ),
            projection=projection,
            width=len(first),
            blocks=_count(tensors, f"{_BOTTLENECKS}0.", ".conv1.weight"),
            repeats=mixing // levels,
            groups=groups,
            scales=tuple(name for name in SCALES if name in tensors),
        )


def _count(names: Mapping[str, Tensor], before: str, after: str) -> int:
    """Number of the tensors `before`0`after`, `before`1`after`... that follow on each other."""
    count = 0
    while f"{before}{count}{after}" in names:
        count += 1
    return count


class NormedConvolution(nn.Conv2d):
    """A convolution without bias, followed by a group norm; the map keeps its size."""

    def __init__(self, channels: int, results: int, side: int, groups: int) -> None:
        super().__init__(channels, results, side, padding=side // 2, bias=False)
        self.norm = nn.GroupNorm(groups, results)

    def forward(self, maps: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C', h, w)."""
        normed: Tensor = self.norm(super().forward(maps))
        return normed


class Bottleneck(nn.Module):
    """A residual block: three convolutions, of which only the middle one looks at neighbours.

    Args:
        channels: of the input.
        width: channels within.
        results: channels of the output. Where they are not the input's, the shortcut is a convolution.
    """

    def __init__(self, channels: int, width: int, results: int, groups: int) -> None:
        super().__init__()
        self.shortcut = None if channels == results else NormedConvolution(channels, results, 1, groups)
        self.conv1 = NormedConvolution(channels, width, 1, groups)
        self.conv2 = NormedConvolution(width, width, 3, groups)
        self.conv3 = NormedConvolution(width, results, 1, groups)

    def forward(self, maps: Tensor) -> Tensor:
        """(B, channels, h, w) -> (B, results, h, w), none below 0."""
        residual = self.conv3(self.conv2(self.conv1(maps).relu()).relu())
        shortcut = maps if self.shortcut is None else self.shortcut(maps)
        return torch.relu(residual + shortcut)


class AggregationNetwork(nn.Module):
    """Brings all levels to the same channels and adds them, with weights that sum to 1.

    Levels share their bottleneck between timesteps; each has its own weight at each timestep.
    """

    def __init__(self, shape: AggregationShape) -> None:
        super().__init__()
        self.shape = shape
        self.mixing_weights = nn.Parameter(torch.ones(len(shape.channels) * shape.repeats))
        self.bottleneck_layers = nn.ModuleList(
            nn.Sequential(*_make_blocks(channels, shape)) for channels in shape.channels
        )
        for name in shape.scales:
            self.register_parameter(name, nn.Parameter(torch.tensor(SCALES[name])))

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, input channels, h, w), timestep after timestep -> (B, projection, h, w)."""
        weights = self.mixing_weights.softmax(0)
        levels = features.split(list(self.shape.channels) * self.shape.repeats, dim=1)
        total = features.new_zeros(())
        for number, level in enumerate(levels):
            bottleneck = self.bottleneck_layers[number % len(self.bottleneck_layers)]
            total = total + weights[number] * bottleneck(level)
        return total


def _make_blocks(channels: int, shape: AggregationShape) -> list[Bottleneck]:
    before = [channels] + [shape.projection] * (shape.blocks - 1)
    return [Bottleneck(count, shape.width, shape.projection, shape.groups) for count in before]
