"""From a source feature and a target map to a point.

A localizer takes the two feature maps and N query points in original pixels and returns N predictions in
original pixels. All are batched over points, and all but the `argmax` family are differentiable with respect
to both maps.

Where a feature map declares no grid convention, `argmax`, `bilinear`, `soft-argmax` and `kernel-softmax` lay
cells on the frame's pixels corner to corner, `argmax-original` by half-pixel centres, `argmax-patch` and
`window-softmax` by patch centres, as their authors do. `argmax-corner` has a rule of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from harness.frames import GridConvention, Size
from harness.localizers.matches import matches_grid, volume_rows
from harness.localizers.similarity import (
    CellGrid,
    Grid,
    best_positions,
    mask_outside_window,
    mean_positions,
    nearest_cells,
    sample,
    similarities,
    undo_scaling,
    weight_by_kernel,
)
from harness.specs import FeatureMap, Located, Matches
from harness.specs.lengths import unit_features

ROWS = 64
"""Number of points whose similarity maps pass together where there are many pairs.

It is always the same, so that the result of a point does not depend on the other points: the shape of a
tensor decides how its sums are split.
"""


class _OfSimilarities:
    """A localizer that follows from the similarity map of each point by itself."""

    grid: ClassVar[GridConvention] = "corner"
    normalize: bool = True

    def similarity(self, source: FeatureMap, target: FeatureMap, points: Tensor) -> Tensor:
        """Similarity maps (N, h, w) of queries that are sampled bilinearly from the raw source map.

        Queries are normalised after sampling, not before.
        """
        start = Grid(source, self.grid)
        goal = Grid(target, self.grid)
        queries = sample(start.data, self.read_at(self.start_positions(start, points)))
        if self.normalize:
            return similarities(queries, goal.data, True, goal.norms)
        products = similarities(queries, goal.data, False)
        return undo_scaling(products, start.exponent + goal.exponent)

    def read_at(self, positions: Tensor) -> Tensor:
        """Positions (N, 2) at which the source map is sampled for points that lie at `positions` (N, 2)."""
        return positions

    def start_positions(self, grid: CellGrid, points: Tensor) -> Tensor:
        """Positions (N, 2) on the source's grid of points (N, 2) in its original pixels."""
        return grid.positions(points)

    def goal_points(self, grid: CellGrid, positions: Tensor) -> Tensor:
        """Points (N, 2) in the target's original pixels of positions (N, 2) on its grid."""
        return grid.points(positions)

    def positions(self, similarity: Tensor) -> Tensor:
        """Predicted positions (N, 2) from similarity maps (N, h, w)."""
        raise NotImplementedError

    def __call__(self, source: FeatureMap, target: FeatureMap, points: Tensor) -> Located:
        """See `harness.specs.Localizer`."""
        similarity = self.similarity(source, target, points)
        _, score = best_positions(similarity.detach())
        positions = self.positions(similarity)
        return Located(self.goal_points(Grid(target, self.grid), positions), score)

    def read(self, matches: Matches, points: Tensor) -> Located:
        """See `harness.specs.MatchesReader`: scores of a volume take the place of similarities."""
        start = matches_grid(matches, "source", self.grid)
        similarity = volume_rows(matches, self.read_at(self.start_positions(start, points)))
        _, score = best_positions(similarity)
        positions = self.positions(similarity)
        goal = matches_grid(matches, "target", self.grid)
        return Located(self.goal_points(goal, positions), score)

    def many(self, tasks: Sequence[tuple[FeatureMap, FeatureMap, Tensor]]) -> list[Located]:
        """See `harness.specs.BatchLocalizer`.

        Points of all pairs pass together, `ROWS` at a time, so that a point's result does not depend on the
        others.
        """
        maps = [self.similarity(*task) for task in tasks]
        # Only maps of one size, kind of number and device can be rows of one tensor.
        groups: dict[tuple[object, ...], list[int]] = {}
        for number, similarity in enumerate(maps):
            kind = (similarity.shape[1:], similarity.dtype, similarity.device)
            groups.setdefault(kind, []).append(number)
        results: dict[int, Located] = {}
        for numbers in groups.values():
            group = [maps[number] for number in numbers]
            positions, scores = self._in_rows(torch.cat(group))
            counts = [len(similarity) for similarity in group]
            per_pair = zip(numbers, positions.split(counts), scores.split(counts), strict=True)
            for number, pair_positions, score in per_pair:
                _, target, _ = tasks[number]
                points = self.goal_points(Grid(target, self.grid), pair_positions)
                results[number] = Located(points, score)
        return [results[number] for number in range(len(tasks))]

    def _in_rows(self, similarity: Tensor) -> tuple[Tensor, Tensor]:
        """Positions (N, 2) and scores (N) of similarity maps (N, h, w), computed `ROWS` at a time."""
        count = len(similarity)
        # Maps of zeros fill the last rows, so that their tensor has the shape of all others.
        padding = similarity.new_zeros(-count % ROWS, *similarity.shape[1:])
        positions, scores = [], []
        for rows in torch.cat([similarity, padding]).split(ROWS):
            _, score = best_positions(rows)
            positions.append(self.positions(rows))
            scores.append(score)
        return torch.cat(positions)[:count], torch.cat(scores)[:count]


@dataclass(frozen=True)
class Argmax(_OfSimilarities):
    """The cell whose feature is most similar to the query's (SD4Match `nn`).

    The query is sampled bilinearly from the raw source map.
    """

    normalize: bool = True

    def positions(self, similarity: Tensor) -> Tensor:
        """The best positions."""
        return best_positions(similarity)[0]


@dataclass(frozen=True)
class ArgmaxPatch(Argmax):
    """The patch whose feature is most similar to that of the patch that the point falls into.

    This is how SD+DINO, GeoAware-SC and DINO's evaluations match.
    """

    grid: ClassVar[GridConvention] = "patch-centre"

    def read_at(self, positions: Tensor) -> Tensor:
        """Positions of the patches that points fall into."""
        return nearest_cells(positions)


@dataclass(frozen=True)
class ArgmaxCorner(Argmax):
    """The top left corner of the most similar cell, half a cell from its middle (OmniProbe).

    The query is sampled as if the first and the last cell lay on the edges of the frame, from features of
    length one. Both conventions are the localizer's own, whatever a map declares: they are what it is there
    to show.
    """

    def similarity(self, source: FeatureMap, target: FeatureMap, points: Tensor) -> Tensor:
        """Similarity maps (N, h, w) of queries that are sampled from the normalised source map."""
        if not self.normalize:
            return super().similarity(source, target, points)
        start = Grid(source, self.grid)
        goal = Grid(target, self.grid)
        queries = sample(unit_features(start.data, 0), self.start_positions(start, points))
        return similarities(queries, goal.data, True, goal.norms)

    def start_positions(self, grid: CellGrid, points: Tensor) -> Tensor:
        """Positions (N, 2): the frame's edges are those of the span from the first cell to the last."""
        frame, cells = grid.lattice.frame, grid.lattice.cells
        pixels = frame.from_original(points.to(grid.device, torch.float64))
        spans = pixels.new_tensor([cells.width - 1, cells.height - 1])
        return pixels / pixels.new_tensor(frame.size) * spans

    def goal_points(self, grid: CellGrid, positions: Tensor) -> Tensor:
        """Points (N, 2): the corners of the cells."""
        frame, cells = grid.lattice.frame, grid.lattice.cells
        corners = positions.double()
        return frame.to_original(corners / corners.new_tensor(cells) * corners.new_tensor(frame.size))


@dataclass(frozen=True)
class Bilinear:
    """Best cells of the four source cells around the query, blended by its position (SD4Match `bilinear`)."""

    normalize: bool = True

    def __call__(self, source: FeatureMap, target: FeatureMap, points: Tensor) -> Located:
        """See `harness.specs.Localizer`."""
        start = Grid(source, "corner")
        goal = Grid(target, "corner")
        exponent = start.exponent + goal.exponent
        norms = goal.norms if self.normalize else None

        def best_of(corner: Tensor) -> tuple[Tensor, Tensor]:
            queries = sample(start.data, corner)
            similarity = similarities(queries, goal.data, self.normalize, norms)
            positions, best = best_positions(similarity)
            return positions, best if self.normalize else undo_scaling(best, exponent)

        # In single precision, as SD4Match does, since at the border the rounding of 1e-5 shows in the result.
        blended, score = _blend(start.positions(points).to(start.data.dtype), source.cells, best_of)
        return Located(goal.points(blended), score)

    def read(self, matches: Matches, points: Tensor) -> Located:
        """See `harness.specs.MatchesReader`: scores of a volume take the place of similarities."""
        start = matches_grid(matches, "source", "corner")
        positions = start.positions(points).float()
        blended, score = _blend(
            positions, matches.source.cells, lambda corner: best_positions(volume_rows(matches, corner))
        )
        return Located(matches_grid(matches, "target", "corner").points(blended), score)


def _blend(
    positions: Tensor, cells: Size, best_of: Callable[[Tensor], tuple[Tensor, Tensor]]
) -> tuple[Tensor, Tensor]:
    """Best positions (N, 2) and scores (N) of the four cells around positions (N, 2), blended by closeness.

    Args:
        best_of: cells (N, 2) -> their best positions in the target, and the scores.
    """
    width, height = cells
    x, y = positions.unbind(1)
    # The margin keeps the right and lower neighbour inside the map (SD4Match).
    x = x.clamp(1e-5, max(width - 1 - 1e-5, 1e-5))
    y = y.clamp(1e-5, max(height - 1 - 1e-5, 1e-5))
    left, top = x.floor(), y.floor()
    # Steps to the right and down from the upper left cell -> weight of the cell that they lead to.
    weights = {
        (0, 0): (1 - x + left) * (1 - y + top),
        (1, 0): (x - left) * (1 - y + top),
        (0, 1): (1 - x + left) * (y - top),
        (1, 1): (x - left) * (y - top),
    }
    score = torch.zeros_like(x)
    blended = score[:, None].repeat(1, 2)
    for (right, down), weight in weights.items():
        best, best_score = best_of(torch.stack([left + right, top + down], dim=1))
        blended = blended + weight[:, None] * best
        score = score + weight * best_score
    return blended, score


@dataclass(frozen=True)
class SoftArgmax(_OfSimilarities):
    """The mean position under softmax of the similarities over the whole map (SD4Match `softmax`)."""

    temperature: float = 0.04
    normalize: bool = True

    def positions(self, similarity: Tensor) -> Tensor:
        """Mean positions."""
        return mean_positions(similarity, self.temperature)


@dataclass(frozen=True)
class KernelSoftmax(_OfSimilarities):
    """Soft-argmax of the similarities times a Gaussian around the best cell (SD4Match `kernelsoftmax`).

    This is the paper's localizer.

    Attributes:
        sigma: the Gaussian's standard deviation in cells.
        relative_to: if set, `sigma` is meant for a grid of that many cells and scales with the grid's longer
            side.
    """

    sigma: float = 7.0
    temperature: float = 0.04
    relative_to: int | None = None
    normalize: bool = True

    def positions(self, similarity: Tensor) -> Tensor:
        """Mean positions around the best ones."""
        sigma = self.sigma
        if self.relative_to:
            sigma = self.sigma * max(similarity.shape[1:]) / self.relative_to
        return mean_positions(weight_by_kernel(similarity, sigma), self.temperature)


@dataclass(frozen=True)
class WindowSoftmax(_OfSimilarities):
    """Soft-argmax with similarities outside a window around the best patch set to zero (GeoAware-SC).

    The query is the feature of the patch that the point falls into.

    Attributes:
        window: patches to every side of the best one that still count.
    """

    window: int = 7
    temperature: float = 0.02
    grid: ClassVar[GridConvention] = "patch-centre"

    def read_at(self, positions: Tensor) -> Tensor:
        """Positions of the patches that points fall into."""
        return nearest_cells(positions)

    def positions(self, similarity: Tensor) -> Tensor:
        """Mean positions within the windows."""
        return mean_positions(mask_outside_window(similarity, self.window), self.temperature)
