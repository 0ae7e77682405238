"""CHM's network, under the names of the authors' checkpoints.

The maps of both pictures at three scales are correlated scale against scale; a convolution over scales and
positions lets matches vote for those that agree with them; the best pair of scales is kept, and a second
convolution works on the correlation at twice the resolution.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from matchers.chm.kernels import SCALES, KernelShape
from matchers.convolution4d import convolve4d
from matchers.formulas import correlate, filter_mutually, normalize_exactly, resize_corners, resize_volume

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
    def like(cls, tensors: Mapping[str, Tensor]) -> ChmLearner | None:
        """An untrained one of the shape of a checkpoint's tensors (`learner.` stripped); None if of none."""
        convolution, spatial = tensors.get("conv2ds.0.weight"), tensors.get("chm4d.weight")
        if convolution is None or convolution.ndim != 4 or spatial is None or spatial.ndim != 1:
            return None
        scale_groups = sum(name.startswith("chm6d.param.") for name in tensors)
        shape = KernelShape.of(len(spatial), scale_groups)
        return None if shape is None else cls(convolution.shape[1], convolution.shape[0], shape)

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


def _doubled(size: Size) -> Size:
    return 2 * size[0], 2 * size[1]
