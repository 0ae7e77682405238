"""SCorrSAN's head: features enlarged by how similar each cell is to those around it, then cosines.

After Huang et al., "Learning Semantic Correspondence with Sparse Annotations", ECCV 2022. Names of modules
are those of the authors' checkpoints.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from matchers.backbones.resnet import ResNet
from matchers.cats.network import Levels
from matchers.formulas import correlate, filter_mutually, normalize_features, resize_volume, unit_coordinates

DIRECTIONS = 4
"""Lines through a window that the context encoder reads: two diagonals, the middle column and row."""


@dataclass(frozen=True)
class ScorrsanShape:
    """Sizes of a head.

    Attributes:
        channels: of the backbone's level.
        width: channels of the context encoder's output.
        kernel: side of its window, in cells.
        grid: rows, and columns, of the square grid to which the correlation is enlarged.
    """

    channels: int
    width: int
    kernel: int
    grid: int

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor], channels: int) -> Self:
        """Reads the sizes off a checkpoint's tensors, for features of so many channels.

        Raises:
            KeyError: a tensor is missing.
            ValueError: no window of whole cells has as many maps as the tensors take.
        """
        weight = tensors["SCEs.0.conv.weight"]
        maps = weight.shape[1] - channels
        if maps <= 0 or maps % DIRECTIONS or maps // DIRECTIONS % 2 == 0:
            raise ValueError(
                f"SCEs.0.conv.weight takes {weight.shape[1]} channels, and the features have {channels}; "
                f"the {maps} others are not those of a window with a middle cell"
            )
        return cls(channels, weight.shape[0], maps // DIRECTIONS, len(tensors["x_normal"]))


def window_offsets(kernel: int) -> list[tuple[int, int]]:
    """Cells (row, column) of a window of `kernel` x `kernel`, in the order in which features get them."""
    middle, steps = kernel // 2, range(kernel)
    return [
        *((step, step) for step in steps),
        *((step, middle) for step in steps),
        *((step, kernel - 1 - step) for step in steps),
        *((middle, step) for step in steps),
    ]


def self_similarities(features: Tensor, kernel: int) -> Tensor:
    """Cosines (B, 4 kernel, h, w) of each cell of maps (B, C, h, w) with those of the window around it.

    Cells beyond the map count as zeros.
    """
    height, width = features.shape[2:]
    unit = nn.functional.normalize(features, dim=1)
    around = nn.functional.pad(unit, [kernel // 2] * 4)
    similar = {
        (row, column): (unit * around[:, :, row : row + height, column : column + width]).sum(1)
        for row, column in set(window_offsets(kernel))
    }
    return torch.stack([similar[offset] for offset in window_offsets(kernel)], dim=1)


class ContextEncoder(nn.Module):
    """A 1 x 1 convolution of the features and of their self-similarities."""

    def __init__(self, channels: int, width: int, kernel: int) -> None:
        super().__init__()
        self.kernel = kernel
        self.conv = nn.Conv2d(channels + DIRECTIONS * kernel, width, 1)

    def forward(self, features: Tensor) -> Tensor:
        """(B, channels, h, w) -> (B, width, h, w)."""
        enlarged = torch.cat([features, self_similarities(features, self.kernel)], dim=1)
        context: Tensor = self.conv(enlarged)
        return context.relu()


class ScorrsanHead(nn.Module):
    """Everything of SCorrSAN but its backbone."""

    def __init__(self, shape: ScorrsanShape) -> None:
        super().__init__()
        self.shape = shape
        self.register_buffer("x_normal", unit_coordinates(shape.grid, torch.zeros(())))
        self.register_buffer("y_normal", unit_coordinates(shape.grid, torch.zeros(())))
        self.SCEs = nn.ModuleList([ContextEncoder(shape.channels, shape.width, shape.kernel)])

    def encode(self, features: Tensor) -> Tensor:
        """Backbone's features (B, C, h, w) -> normalised features (B, C', h, w) with their context."""
        return normalize_features(self.SCEs[0](features))

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Volumes (B, g, g, g, g) of encoded features (B, C', h, w) of both pictures."""
        return enlarge(filter_cosines(source, target), self.shape.grid)


class Scorrsan(ScorrsanHead):
    """The whole network.

    Args:
        level: hyperpixel index of the backbone's level.
    """

    def __init__(self, backbone: ResNet, shape: ScorrsanShape, level: int) -> None:
        super().__init__(shape)
        self.feature_extraction = Levels(backbone)
        self.level = level

    @property
    def backbone(self) -> ResNet:
        """The ResNet."""
        return self.feature_extraction.backbone

    def see(self, pixels: Tensor) -> Tensor:
        """The level's features (B, C, h, w), before their ReLU, for pixels (B, 3, s, s)."""
        features: Tensor = self.backbone(pixels, [self.level], before_relu=True)[0]
        return features


def filter_cosines(source: Tensor, target: Tensor) -> Tensor:
    """Mutually filtered cosines (B, h, w, h', w') of normalised features (B, C, h, w)."""
    cosines = correlate(source, target)
    flat = filter_mutually(cosines.flatten(3).flatten(1, 2), zero_maximum=True)
    return flat.view(cosines.shape)


def enlarge(volume: Tensor, grid: int) -> Tensor:
    """Volumes (B, h, w, h', w') on grids of `grid` x `grid` cells on both sides, corners aligned.

    Beside its result it needs only the volume that is enlarged on one side, a sixteenth of that in the
    published network.
    """
    return resize_volume(volume, (grid, grid), (grid, grid))
