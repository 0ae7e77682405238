"""CHM's network, under the names of the authors' checkpoints.

The maps of both pictures at three scales are correlated scale against scale; a convolution over scales and
positions lets matches vote for those that agree with them; the best pair of scales is kept, and a second
convolution works on the correlation at twice the resolution.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Self

import torch
from torch import Tensor, nn

from harness.errors import UserError
from harness.messages import counted
from matchers.backbones.checkpoints import Checkpoint, load_tensors
from matchers.backbones.paired import PairedResNet
from matchers.chm.kernels import SCALES, KernelShape
from matchers.convolution4d import convolve4d
from matchers.formulas import correlate, filter_mutually, normalize_exactly, resize_corners, resize_volume

IMAGE_SIZE = 240
"""Side of the published networks' square input in pixels."""

LAYER = 3
"""Layer of the backbone whose last block is read."""

FACTORS = (math.sqrt(0.5), 1.0, math.sqrt(2))
"""Sizes of a picture's maps over the size of the backbone's map."""


Size = tuple[int, int]
"""Height and width in cells."""


class ScaleConvolution(nn.Module):
    """Convolution over pairs of scales and the four axes of a correlation, with shared weights."""

    def __init__(self, shape: KernelShape) -> None:
        super().__init__()
        self.shape = shape
        # Small and positive: every vote counts a little for its neighbours.
        self.param = nn.ParameterList(
            nn.Parameter(torch.rand(shape.parameters)) for _ in range(shape.scale_groups)
        )
        self.bias = nn.Parameter(torch.zeros(1))

    def kernel(self) -> Tensor:
        """(3, 3, k, k, k, k)."""
        return self.shape.over_scales(list(self.param))

    def forward(self, correlations: Tensor) -> Tensor:
        """(B, 3, 3, h, w, h', w') -> the same shape, zeros around it in all six axes."""
        votes = convolve4d(correlations.flatten(1, 2), self._between_pairs())
        return votes.view(correlations.shape) + self.bias

    def _between_pairs(self) -> Tensor:
        """Kernel (k, 9, 9, k, k, k) between pairs of scales: how much the second votes for the first."""
        kernel = self.kernel()
        zeros = torch.zeros_like(kernel[0, 0])
        rows = []
        for source in range(SCALES):
            for target in range(SCALES):
                row = []
                for other_source in range(SCALES):
                    for other_target in range(SCALES):
                        down, right = other_source - source + 1, other_target - target + 1
                        is_inside = 0 <= down < SCALES and 0 <= right < SCALES
                        row.append(kernel[down, right] if is_inside else zeros)
                rows.append(torch.stack(row))
        return torch.stack(rows).movedim(2, 0)


class PositionConvolution(nn.Module):
    """Convolution over the four axes of a correlation, with shared weights."""

    def __init__(self, shape: KernelShape) -> None:
        super().__init__()
        self.shape = shape
        self.weight = nn.Parameter(torch.rand(shape.parameters))
        self.bias = nn.Parameter(torch.zeros(1))

    def kernel(self) -> Tensor:
        """(k, k, k, k)."""
        return self.shape.spatial(self.weight)

    def forward(self, volume: Tensor) -> Tensor:
        """(B, h, w, h', w') -> the same shape, zeros around it."""
        return convolve4d(volume[:, None], self.kernel()[:, None, None])[:, 0] + self.bias


class ChmLearner(nn.Module):
    """All of the network but the backbone."""

    def __init__(self, channels: int, reduced: int, shape: KernelShape) -> None:
        super().__init__()
        self.conv2ds = nn.ModuleList(nn.Conv2d(channels, reduced, 3, padding=1, bias=False) for _ in FACTORS)
        self.chm6d = ScaleConvolution(shape)
        self.chm4d = PositionConvolution(shape)

    @classmethod
    def like(cls, tensors: Mapping[str, Tensor], subject: str = "CHM") -> Self:
        """An untrained one of the shape of a checkpoint's tensors (`learner.` stripped).

        Args:
            subject: their file, for messages.

        Raises:
            UserError: they are not those of such a network.
        """
        for name, axes in (("conv2ds.0.weight", 4), ("chm4d.weight", 1)):
            if name not in tensors or tensors[name].ndim != axes:
                raise UserError(
                    f"{subject}: learner.{name} is missing or has not {counted(axes, 'axis', 'axes')}; "
                    "give a checkpoint of CHM with its psi or iso kernel"
                )
        parameters = len(tensors["chm4d.weight"])
        scale_groups = sum(name.startswith("chm6d.param.") for name in tensors)
        shape = KernelShape.of(parameters, scale_groups)
        if shape is None:
            raise UserError(
                f"{subject}: no psi or iso kernel of CHM has {counted(parameters, 'parameter')} and "
                f"{counted(scale_groups, 'set')} of them over scales (chm4d.weight, chm6d.param.*); "
                "give a checkpoint with one of these kernels"
            )
        reduced, channels = tensors["conv2ds.0.weight"].shape[:2]
        return cls(channels, reduced, shape)

    @property
    def channels(self) -> int:
        """Channels of the backbone's map."""
        convolution = self.conv2ds[0]
        assert isinstance(convolution, nn.Conv2d)
        return convolution.in_channels

    def reduce(self, features: Tensor) -> list[Tensor]:
        """Map (B, C, h, w) of a picture -> its maps (B, C', ~h f, ~w f) at the scales f."""
        height, width = features.shape[2:]
        return [
            convolution(resize_corners(features, (round(height * factor), round(width * factor))))
            for convolution, factor in zip(self.conv2ds, FACTORS, strict=True)
        ]

    def correlate(
        self, source: Sequence[Tensor], target: Sequence[Tensor], source_cells: Size, target_cells: Size
    ) -> Tensor:
        """Cosines (B, 3, 3, h, w, h', w') of all pairs of scales, on one grid; negative ones are 0.

        Args:
            source, target: maps of `reduce`.
            source_cells, target_cells: (height, width) of the grid on either side.
        """
        sources = [normalize_exactly(features) for features in source]
        targets = [normalize_exactly(features) for features in target]
        volumes = [
            resize_volume(correlate(first, second), source_cells, target_cells)
            for first in sources
            for second in targets
        ]
        stacked = torch.stack(volumes, dim=1).clamp_min(0)
        return stacked.view(len(stacked), SCALES, SCALES, *stacked.shape[2:])

    def forward(
        self, source: Sequence[Tensor], target: Sequence[Tensor], source_cells: Size, target_cells: Size
    ) -> Tensor:
        """Maps of `reduce` -> volume (B, 2h, 2w, 2h', 2w'), filtered for mutual nearest neighbours."""
        votes = self.chm6d(self.correlate(source, target, source_cells, target_cells))
        # The best pair of scales, for each pair of cells.
        best = votes.sigmoid().flatten(1, 2).amax(1)
        best = resize_volume(best, _doubled(source_cells), _doubled(target_cells))
        scores = nn.functional.softplus(self.chm4d(best))
        matrix = scores.flatten(1, 2).flatten(2)
        return filter_mutually(matrix, zero_maximum=True).view(scores.shape)


class Chm(nn.Module):
    """The whole network, from pictures to a volume.

    Attributes:
        backbone: of source and target.
        learner: all the rest.
    """

    def __init__(self, backbone: PairedResNet, learner: ChmLearner) -> None:
        super().__init__()
        self.backbone, self.learner = backbone, learner

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> Self:
        """Makes it of a checkpoint. Raises `UserError` where that is another network's."""
        subject = str(checkpoint.path)
        learner = load_learner(checkpoint)
        backbone = PairedResNet.of_doubled(checkpoint.part("backbone."), subject)
        network = cls(backbone, learner)
        wanted, level = learner.channels, network.level
        if backbone.source.channels[level] != wanted:
            raise UserError(
                f"{subject}: layer 3 of its backbone has {backbone.source.channels[level]} channels, "
                f"learner.conv2ds takes {wanted}; give a checkpoint of one network"
            )
        return network

    @property
    def level(self) -> int:
        """Hyperpixel index of the level that is read: the last block of layer 3."""
        return self.backbone.source.levels_of(LAYER)[-1]

    def state_to_save(self) -> dict[str, Tensor]:
        """Its tensors under the names of the authors' checkpoints."""
        backbone = {f"backbone.{name}": tensor for name, tensor in self.backbone.doubled_state().items()}
        learner = {f"learner.{name}": tensor for name, tensor in self.learner.state_dict().items()}
        return backbone | learner

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Pictures (B, 3, s, s) -> volume (B, 2h, 2w, 2h', 2w')."""
        (first,), (second,) = self.backbone.pair_levels(source, target, [self.level])
        cells, target_cells = (first.shape[2], first.shape[3]), (second.shape[2], second.shape[3])
        volume: Tensor = self.learner(
            self.learner.reduce(first), self.learner.reduce(second), cells, target_cells
        )
        return volume


def load_learner(checkpoint: Checkpoint) -> ChmLearner:
    """The learner of a checkpoint. Raises `UserError` where that is another network's."""
    tensors = checkpoint.part("learner.")
    learner = ChmLearner.like(tensors, str(checkpoint.path))
    load_tensors(learner, tensors, checkpoint.path)
    return learner


def _doubled(size: Size) -> Size:
    return 2 * size[0], 2 * size[1]
