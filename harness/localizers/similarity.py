"""Cosine similarities on the feature grid, and the positions that follow from them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from harness.frames import GridConvention, PatchGrid, cells_to_pixels, pixels_to_cells
from harness.specs import FeatureMap, Lattice
from harness.specs.lengths import lengths, nonzero, unit_features


def sample(data: Tensor, positions: Tensor) -> Tensor:
    """Bilinear samples of a map (C, h, w) at positions (N, 2), clamped to the map's border -> (N, C)."""
    height, width = data.shape[-2:]
    x = positions[:, 0].clamp(0, width - 1)
    y = positions[:, 1].clamp(0, height - 1)
    left = x.floor().long()
    top = y.floor().long()
    # At the border the neighbour has weight 0; only its index must be one of the map's.
    right = (left + 1).clamp(max=width - 1)
    bottom = (top + 1).clamp(max=height - 1)
    # The difference is taken in the precision of positions, before the map's may round it.
    a = (x - left).to(data.dtype)
    b = (y - top).to(data.dtype)
    upper = data[:, top, left] * (1 - a) + data[:, top, right] * a
    lower = data[:, bottom, left] * (1 - a) + data[:, bottom, right] * a
    return (upper * (1 - b) + lower * b).T


def nearest_cells(positions: Tensor) -> Tensor:
    """The cells (N, 2) nearest to positions (N, 2): a cell reaches half a step to every side of itself."""
    return (positions + 0.5).floor()


def similarities(queries: Tensor, target: Tensor, normalize: bool, norms: Tensor | None = None) -> Tensor:
    """Dot products of queries (N, C) with every cell of a map (C, h, w) -> (N, h, w).

    With `normalize`, cosines (paper, eq. 3), whatever the features' magnitude; those with a feature of zeros
    are 0. SD4Match adds 1e-6 to norms, which for its own features is rounding.

    Args:
        norms: (h, w) of the map's features, where they are known.
    """
    if not normalize:
        dtype = torch.promote_types(queries.dtype, target.dtype)
        products = queries.to(dtype) @ target.flatten(1).to(dtype)
        return products.view(len(queries), *target.shape[1:])
    if norms is None:
        norms = lengths(target, 0)
    # Products are divided and not the map, which has a hundred times as many values.
    directions = unit_features(queries, 1).to(target.dtype)
    products = similarities(directions, target, normalize=False)
    return products / nonzero(norms)


def undo_scaling(products: Tensor, exponent: int) -> Tensor:
    """Dot products of features that were multiplied by powers of two, as those of the features themselves.

    Args:
        exponent: the sum of both maps' (`Grid.exponent`). Where the products are beyond double
            precision, they keep their order.
    """
    return products.double() * 2.0 ** max(-900, min(900, -exponent)) if exponent else products


def best_positions(similarity: Tensor) -> tuple[Tensor, Tensor]:
    """Positions (N, 2) of the highest similarity in maps (N, h, w), and that similarity (N).

    Of equal ones the first counts, in rows from the top left.
    """
    score, index = similarity.flatten(1).max(dim=1)
    width = similarity.shape[-1]
    positions = torch.stack([index % width, index // width], dim=1)
    return positions.to(similarity.dtype), score


def mean_positions(similarity: Tensor, temperature: float) -> Tensor:
    """Mean position (N, 2) under softmax(similarity / temperature) over maps (N, h, w) (paper, eq. 4)."""
    scaled = similarity.flatten(1) / temperature
    probability = scaled.softmax(dim=1).view_as(similarity)
    columns, rows = _axes(similarity)
    x = (probability.sum(1) * columns).sum(1)
    y = (probability.sum(2) * rows).sum(1)
    return torch.stack([x, y], dim=1)


def weight_by_kernel(similarity: Tensor, sigma: float) -> Tensor:
    """Similarities (N, h, w) times a Gaussian of `sigma` cells around each map's best position.

    From SFNet (Lee et al.). The Gaussian scales similarities and not probabilities, so far cells tend to
    similarity 0.
    """
    # The best position is a constant for the gradient: it moves in whole cells.
    centre, _ = best_positions(similarity.detach())
    columns, rows = _axes(similarity)
    variance = 2 * sigma**2
    # A Gaussian of two dimensions is a product of two of one.
    across = (-((columns - centre[:, :1]) ** 2) / variance).exp()
    down = (-((rows - centre[:, 1:]) ** 2) / variance).exp()
    return similarity * down[:, :, None] * across[:, None, :]


def mask_outside_window(similarity: Tensor, reach: int) -> Tensor:
    """Similarities (N, h, w), zero beyond `reach` cells from each map's best in x or y (GeoAware-SC)."""
    centre, _ = best_positions(similarity.detach())
    columns, rows = _axes(similarity)
    is_near_row = (rows - centre[:, 1:]).abs() <= reach
    is_near_column = (columns - centre[:, :1]).abs() <= reach
    is_near = is_near_row[:, :, None] & is_near_column[:, None, :]
    # Zero and not minus infinity, as the authors do: the rest keeps a small weight under softmax.
    return similarity * is_near


def _axes(similarity: Tensor) -> tuple[Tensor, Tensor]:
    """Column and row numbers of maps (N, h, w), as their own kind of number."""
    height, width = similarity.shape[-2:]
    dtype, device = similarity.dtype, similarity.device
    columns = torch.arange(width, dtype=dtype, device=device)
    rows = torch.arange(height, dtype=dtype, device=device)
    return columns, rows


@dataclass(frozen=True)
class CellGrid:
    """Cells of an image and how they lie: original pixels <-> positions on the grid.

    Attributes:
        lattice: the cells.
        default: the localizer's convention, for cells that declare none.
        device: the device that positions are on.
    """

    lattice: Lattice
    default: GridConvention
    device: torch.device

    @property
    def convention(self) -> GridConvention:
        """The convention that the cells declare, else the localizer's."""
        return self.lattice.grid or self.default

    def positions(self, points: Tensor) -> Tensor:
        """Original pixels (N, 2) -> positions (N, 2), in float64 and on the grid's device."""
        frame = self.lattice.frame
        points = points.to(self.device, torch.float64)
        pixels = frame.from_original(points)
        return pixels_to_cells(pixels, frame.size, self.lattice.cells, self.convention)

    def pixel_positions(self, pixels: Tensor, axis: int) -> Tensor:
        """Coordinates (N) on the grid, in float64, of the centres of original pixels along one axis.

        Args:
            pixels: (N) numbers of pixels.
            axis: 0 for x, 1 for y.
        """
        frame, grid = self.lattice.frame, self.convention
        # Where pixel centres are integers in the frame's own count, an original pixel's centre is half a
        # pixel from its number.
        kind = "patch-centre" if isinstance(grid, PatchGrid) else grid
        shifts = {"corner": (0.0, 0.0), "half-pixel": (0.5, 0.5), "patch-centre": (0.5, 0.0)}
        inner, outer = shifts[kind]
        coordinate = (pixels.double() + inner) * frame.scale[axis] + frame.offset[axis] - outer
        # The map of frames takes (x, y): the coordinate stands in for both, and one of them is read.
        points = torch.stack([coordinate, coordinate], dim=-1)
        return pixels_to_cells(points, frame.size, self.lattice.cells, grid)[..., axis]

    def whole_pixel_positions(self, points: Tensor) -> Tensor:
        """Positions (N, 2) of the centres of the original pixels in which points (N, 2) lie.

        Pixels are clamped to the image. In float64 and on the grid's device.
        """
        positions = []
        for axis, side in enumerate(self.lattice.frame.original):
            pixels = points[:, axis].floor().clamp(0, side - 1)
            positions.append(self.pixel_positions(pixels, axis))
        return torch.stack(positions, dim=1).to(self.device)

    def patch_positions(self, points: Tensor) -> Tensor:
        """Positions (N, 2) of the patches into which points (N, 2) fall, unclamped."""
        return nearest_cells(self.positions(points))

    def points(self, positions: Tensor) -> Tensor:
        """Positions (N, 2) -> original pixels, in float64."""
        frame = self.lattice.frame
        pixels = cells_to_pixels(positions.double(), frame.size, self.lattice.cells, self.convention)
        return frame.to_original(pixels)


class Grid(CellGrid):
    """The cells of one feature map, with their features."""

    def __init__(self, feature_map: FeatureMap, default: GridConvention) -> None:
        lattice = Lattice(feature_map.frame, feature_map.cells, feature_map.grid)
        super().__init__(lattice, default, feature_map.data.device)
        # As frozen as its fields.
        object.__setattr__(self, "_map", feature_map)

    @property
    def map(self) -> FeatureMap:
        """The map."""
        feature_map: FeatureMap = vars(self)["_map"]
        return feature_map

    @property
    def data(self) -> Tensor:
        """The features, at least in single precision; extreme ones as `FeatureMap.widening` says."""
        dtype, exponent = self.map.widening
        data = self.map.data.to(dtype)
        return data * 2.0**exponent if exponent else data

    @property
    def norms(self) -> Tensor:
        """(h, w) L2 norms of `data`."""
        dtype, exponent = self.map.widening
        if exponent or dtype != self.map.norms.dtype:
            return lengths(self.data, 0)
        return self.map.norms

    @property
    def exponent(self) -> int:
        """Exponent of the power of two that `data` was multiplied by; 0 but for extreme maps."""
        return self.map.widening[1]
