"""SFNet as it is trained: a frozen backbone, its adaptations, and flows with gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from matchers.backbones.resnet import ResNet
from matchers.formulas import expected_positions
from matchers.localizers.grid_corner import target_probabilities
from matchers.sfnet.checkpoint import FOURTH, THIRD
from matchers.sfnet.network import Adaptation, correlate_levels, normalize_rows
from matchers.training.objective import Tensors, TrainingSettings

OPTIONS = {"layer": 3, "third_kernel": 5, "fourth_kernel": 3, "sigma": 5.0, "beta": 50.0}
"""Of both methods: the published network, and the reading."""

OPTION_HELP = {
    "layer": "layer of the ResNet whose features and whose next layer's are adapted",
    "third_kernel": "side of the convolutions that adapt that layer's features",
    "fourth_kernel": "side of the convolutions that adapt the next layer's",
    "sigma": "cells of the Gaussian around the best one",
    "beta": "factor of scores before softmax",
}

Levels = tuple[Tensor, Tensor]
"""Features (B, C, h, w) and (B, C', h', w') of both levels."""


class FrozenBackbone(nn.Module):
    """Two layers of a ResNet that stays as it is, batch norms included."""

    def __init__(self, resnet: ResNet, layer: int) -> None:
        super().__init__()
        self.resnet = resnet.requires_grad_(False)
        self.indices = [resnet.levels_of(number)[-1] for number in (layer, layer + 1)]
        self.channels = [resnet.channels[index] for index in self.indices]

    def train(self, mode: bool = True) -> Self:
        """Stays in evaluation mode."""
        del mode
        return super().train(False)

    @torch.no_grad()
    def forward(self, pixels: Tensor) -> Levels:
        """Features of both layers."""
        third, fourth = self.resnet(pixels, self.indices)
        return third, fourth


class Adaptations(nn.Module):
    """The adaptations of both levels."""

    def __init__(self, channels: list[int], settings: TrainingSettings) -> None:
        super().__init__()
        kernels = settings.whole("third_kernel"), settings.whole("fourth_kernel")
        self.third, self.fourth = (
            Adaptation(count, kernel) for count, kernel in zip(channels, kernels, strict=True)
        )

    def forward(self, levels: Levels) -> Levels:
        """Adapted features of both levels."""
        return self.third(levels[0]), self.fourth(levels[1])

    def checkpoint(self) -> dict[str, Tensor]:
        """Tensors under the names of the authors' file."""
        groups = {THIRD: self.third, FOURTH: self.fourth}
        return {
            f"{group}.{name}": tensor
            for group, module in groups.items()
            for name, tensor in module.state_dict().items()
        }


def make_backbone(tensors: Tensors, settings: TrainingSettings) -> FrozenBackbone:
    """Makes the backbone from tensors of torchvision's names."""
    return FrozenBackbone(ResNet.like(tensors).load(tensors), settings.whole("layer"))


@dataclass(frozen=True, eq=False)
class Direction:
    """One direction of a batch of pairs.

    Attributes:
        grid: (B, h, w, 2) where each cell lies in the other picture, in -1..1 corner to corner.
        variance: (B, h, w) of that position, under the probabilities that it is the mean of.
    """

    grid: Tensor
    variance: Tensor

    def flow(self, own: Tensor) -> Tensor:
        """(B, 2, h, w): the way from each cell to its place in the other picture."""
        return (self.grid - own).permute(0, 3, 1, 2)


def both_directions(
    source: Levels, target: Levels, settings: TrainingSettings
) -> tuple[Direction, Direction]:
    """Places of source cells in the target, and of target cells in the source, from adapted levels."""
    correlation = correlate_levels(source, target)
    directions = []
    for scores in (correlation, correlation.permute(0, 3, 4, 1, 2)):
        sigma, beta = settings.number("sigma"), settings.number("beta")
        probability = target_probabilities(normalize_rows(scores), sigma, beta)
        directions.append(Direction(expected_positions(probability), _variance(probability)))
    return directions[0], directions[1]


def _variance(probability: Tensor) -> Tensor:
    """Mean squared distance (...) from the mean position, under probabilities (..., h, w)."""
    height, width = probability.shape[-2:]
    y = torch.linspace(-1, 1, height).to(probability)
    x = torch.linspace(-1, 1, width).to(probability)
    squares = (probability.sum(-1) * y.square()).sum(-1) + (probability.sum(-2) * x.square()).sum(-1)
    return (squares - expected_positions(probability).square().sum(-1)).clamp(min=0)


def look_up(maps: Tensor, grid: Tensor) -> Tensor:
    """Values (B, C, h, w) of maps (B, C, h', w') at positions (B, h, w, 2); 0 beyond the edge."""
    return F.grid_sample(maps, grid, align_corners=True)
