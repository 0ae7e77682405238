"""Cosine similarities on the feature grid, and the positions that follow from them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from harness.frames import GridConvention, PatchGrid, cells_to_pixels, pixels_to_cells
from harness.specs import FeatureMap

EPSILON = 1e-6
"""Added to a feature's norm before division (SD4Match's value)."""


def normalized(features: Tensor, dim: int) -> Tensor:
    """Features over their L2 norm along `dim`: f / (|f| + 1e-6)."""
    norms: Tensor = torch.linalg.vector_norm(features, dim=dim, keepdim=True)
    return features / (norms + EPSILON)


def sample(data: Tensor, cells: Tensor) -> Tensor:
    """Bilinear samples of a map (C, h, w) at cells (N, 2), clamped to the map's border -> (N, C)."""
    height, width = data.shape[-2:]
    x, y = cells[:, 0].clamp(0, width - 1), cells[:, 1].clamp(0, height - 1)
    left, top = x.floor().long(), y.floor().long()
    right, bottom = (left + 1).clamp(max=width - 1), (top + 1).clamp(max=height - 1)
    a, b = (x - left).to(data.dtype), (y - top).to(data.dtype)
    upper = data[:, top, left] * (1 - a) + data[:, top, right] * a
    lower = data[:, bottom, left] * (1 - a) + data[:, bottom, right] * a
    return (upper * (1 - b) + lower * b).T


def similarities(queries: Tensor, target: Tensor, normalize: bool, norms: Tensor | None = None) -> Tensor:
    """Dot products of queries (N, C) with every cell of a map (C, h, w) -> (N, h, w).

    With `normalize`, cosines (paper, eq. 3).

    Args:
        norms: (h, w) of the map's features, where they are known.
    """
    if not normalize:
        return (queries @ target.flatten(1)).view(len(queries), *target.shape[1:])
    norms = torch.linalg.vector_norm(target, dim=0) if norms is None else norms
    # Products are divided and not the map, which has a hundred times as many values.
    return similarities(normalized(queries, 1), target, normalize=False) / (norms + EPSILON)


def best_cells(similarity: Tensor) -> tuple[Tensor, Tensor]:
    """Cells (N, 2) of the highest similarity in maps (N, h, w), and that similarity (N)."""
    score, index = similarity.flatten(1).max(dim=1)
    width = similarity.shape[-1]
    return torch.stack([index % width, index // width], dim=1).to(similarity.dtype), score


def expected_cells(similarity: Tensor, temperature: float) -> Tensor:
    """Mean cell (N, 2) under softmax(similarity / temperature) over maps (N, h, w) (paper, eq. 4)."""
    probability = (similarity.flatten(1) / temperature).softmax(dim=1).view_as(similarity)
    columns, rows = _axes(similarity)
    return torch.stack([(probability.sum(1) * columns).sum(1), (probability.sum(2) * rows).sum(1)], dim=1)


def kernel_weighted(similarity: Tensor, sigma: float) -> Tensor:
    """Similarities (N, h, w) times a Gaussian of `sigma` cells around each map's best cell.

    From SFNet (Lee et al.). The Gaussian scales similarities and not probabilities, so far cells tend to
    similarity 0.
    """
    centre, _ = best_cells(similarity.detach())
    columns, rows = _axes(similarity)
    across = (-((columns - centre[:, :1]) ** 2) / (2 * sigma**2)).exp()
    down = (-((rows - centre[:, 1:]) ** 2) / (2 * sigma**2)).exp()
    return similarity * down[:, :, None] * across[:, None, :]


def windowed(similarity: Tensor, reach: int) -> Tensor:
    """Similarities (N, h, w), zero beyond `reach` cells from each map's best cell in x or y (GeoAware-SC)."""
    centre, _ = best_cells(similarity.detach())
    columns, rows = _axes(similarity)
    is_near_row = (rows - centre[:, 1:]).abs() <= reach
    is_near_column = (columns - centre[:, :1]).abs() <= reach
    return similarity * (is_near_row[:, :, None] & is_near_column[:, None, :])


def _axes(similarity: Tensor) -> tuple[Tensor, Tensor]:
    """Column and row numbers of maps (N, h, w), as their own kind of number."""
    height, width = similarity.shape[-2:]
    columns, rows = (
        torch.arange(size, dtype=similarity.dtype, device=similarity.device) for size in (width, height)
    )
    return columns, rows


@dataclass(frozen=True)
class Grid:
    """One feature map and how its cells lie: original pixels <-> cells."""

    map: FeatureMap
    default: GridConvention

    @property
    def data(self) -> Tensor:
        """The features, at least in single precision."""
        data = self.map.data
        return data.float() if data.dtype in (torch.float16, torch.bfloat16) else data

    def cells(self, points: Tensor) -> Tensor:
        """Original pixels (N, 2) -> cells, in float64 and on the map's device."""
        frame = self.map.frame
        points = points.to(self.map.data.device, torch.float64)
        return pixels_to_cells(
            frame.from_original(points), frame.size, self.map.cells, self.map.grid or self.default
        )

    def pixel_cells(self, pixels: Tensor, axis: int) -> Tensor:
        """Cell coordinates (N), in float64, of the centres of original pixels along one axis.

        Args:
            pixels: (N) numbers of pixels.
            axis: 0 for x, 1 for y.
        """
        frame, grid = self.map.frame, self.map.grid or self.default
        # Where pixel centres are integers in the frame's own count, an original pixel's centre is half a
        # pixel from its number.
        kind = "patch-centre" if isinstance(grid, PatchGrid) else grid
        inner, outer = {"corner": (0.0, 0.0), "half-pixel": (0.5, 0.5), "patch-centre": (0.5, 0.0)}[kind]
        position = (pixels.double() + inner) * frame.scale[axis] + frame.offset[axis] - outer
        positions = torch.stack([position, position], dim=-1)
        return pixels_to_cells(positions, frame.size, self.map.cells, grid)[..., axis]

    def whole_pixel_cells(self, points: Tensor) -> Tensor:
        """Cells (N, 2) of the centres of the original pixels in which points (N, 2) lie.

        Pixels are clamped to the image. In float64 and on the map's device.
        """
        cells = []
        for axis, side in enumerate(self.map.frame.original):
            pixels = points[:, axis].floor().clamp(0, side - 1)
            cells.append(self.pixel_cells(pixels, axis))
        return torch.stack(cells, dim=1).to(self.map.data.device)

    def points(self, cells: Tensor) -> Tensor:
        """Cells (N, 2) -> original pixels, in float64."""
        frame = self.map.frame
        pixels = cells_to_pixels(cells.double(), frame.size, self.map.cells, self.map.grid or self.default)
        return frame.to_original(pixels)
