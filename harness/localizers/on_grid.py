"""From a source feature and a target map to a point.

A localizer takes the two feature maps and N query points in original pixels and returns N predictions in original pixels. All are
batched over points, and all but the `argmax` family are differentiable with respect to both maps.

Where a feature map declares no grid convention, `argmax`, `bilinear`, `soft-argmax` and `kernel-softmax` lay cells on the frame's
pixels corner to corner, `argmax-original` by half-pixel centres and `window-softmax` by patch centres, as their authors do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from harness.frames import GridConvention
from harness.localizers.similarity import (
    Grid,
    best_cells,
    expected_cells,
    kernel_weighted,
    sample,
    similarities,
    windowed,
)
from harness.specs import FeatureMap, Located

ROWS = 64
"""Points whose similarity maps pass together where there are many pairs. Always as many, so that what comes out of one does not depend on
what else there is: sums are split by the shape of what they are sums of."""


class _OfSimilarities:
    """A localizer that follows from the similarity map of each point by itself."""

    grid: ClassVar[GridConvention] = "corner"
    normalize: bool = True

    def similarity(self, source: FeatureMap, target: FeatureMap, points: Tensor) -> Tensor:
        """Similarity maps (N, h, w) of queries sampled bilinearly from the raw source map; normalised after sampling, not before."""
        start, goal = Grid(source, self.grid), Grid(target, self.grid)
        return similarities(
            sample(start.data, self.read_at(start.cells(points))), goal.data, self.normalize, target.norms
        )

    def read_at(self, cells: Tensor) -> Tensor:
        """Where the source map is sampled for points that lie at cells (N, 2)."""
        return cells

    def cells(self, similarity: Tensor) -> Tensor:
        """Predicted cells (N, 2) from similarity maps (N, h, w)."""
        raise NotImplementedError

    def __call__(self, source: FeatureMap, target: FeatureMap, points: Tensor) -> Located:
        """See `harness.specs.Localizer`."""
        similarity = self.similarity(source, target, points)
        return Located(
            Grid(target, self.grid).points(self.cells(similarity)), best_cells(similarity.detach())[1]
        )

    def many(self, tasks: Sequence[tuple[FeatureMap, FeatureMap, Tensor]]) -> list[Located]:
        """See `harness.specs.Localizer`. Points of all pairs pass together, `ROWS` at a time, so that a point's numbers are its own."""
        maps = [self.similarity(*task) for task in tasks]
        alike: dict[tuple[object, ...], list[int]] = {}
        for number, one in enumerate(maps):
            alike.setdefault((one.shape[1:], one.dtype, one.device), []).append(number)
        found: dict[int, Located] = {}
        for numbers in alike.values():
            cells, scores = self._in_rows(torch.cat([maps[number] for number in numbers]))
            counts = [len(maps[number]) for number in numbers]
            for number, some, score in zip(numbers, cells.split(counts), scores.split(counts), strict=True):
                found[number] = Located(Grid(tasks[number][1], self.grid).points(some), score)
        return [found[number] for number in range(len(tasks))]

    def _in_rows(self, similarity: Tensor) -> tuple[Tensor, Tensor]:
        padding = similarity.new_zeros(-len(similarity) % ROWS, *similarity.shape[1:])
        parts = torch.cat([similarity, padding]).split(ROWS)
        cells, scores = (
            torch.cat([self.cells(part) for part in parts]),
            torch.cat([best_cells(part)[1] for part in parts]),
        )
        return cells[: len(similarity)], scores[: len(similarity)]


@dataclass(frozen=True)
class Argmax(_OfSimilarities):
    """The cell whose feature is most similar to the query's, which is sampled bilinearly from the raw source map (SD4Match `nn`)."""

    normalize: bool = True

    def cells(self, similarity: Tensor) -> Tensor:
        """The best ones."""
        return best_cells(similarity)[0]


@dataclass(frozen=True)
class Bilinear:
    """The best cells of the four source cells around the query, blended as the query lies between them (SD4Match `bilinear`)."""

    normalize: bool = True

    def __call__(self, source: FeatureMap, target: FeatureMap, points: Tensor) -> Located:
        """See `harness.specs.Localizer`."""
        start, goal = Grid(source, "corner"), Grid(target, "corner")
        width, height = source.cells
        # The margin keeps the right and lower neighbour inside the map (SD4Match); in single precision, as there, since at the border
        # the rounding of 1e-5 shows in the result.
        x, y = start.cells(points).to(start.data.dtype).unbind(1)
        x = x.clamp(1e-5, max(width - 1 - 1e-5, 1e-5))
        y = y.clamp(1e-5, max(height - 1 - 1e-5, 1e-5))
        left, top = x.floor(), y.floor()
        weights = {(0, 0): (1 - x + left) * (1 - y + top), (1, 0): (x - left) * (1 - y + top)}
        weights |= {(0, 1): (1 - x + left) * (y - top), (1, 1): (x - left) * (y - top)}
        blended, score = torch.zeros_like(x)[:, None].repeat(1, 2), torch.zeros_like(x)
        for (right, down), weight in weights.items():
            queries = sample(start.data, torch.stack([left + right, top + down], dim=1))
            cells, similarity = best_cells(similarities(queries, goal.data, self.normalize, target.norms))
            blended = blended + weight[:, None] * cells
            score = score + weight * similarity
        return Located(goal.points(blended), score)


@dataclass(frozen=True)
class SoftArgmax(_OfSimilarities):
    """The mean position under softmax of the similarities over the whole map (SD4Match `softmax`)."""

    temperature: float = 0.04
    normalize: bool = True

    def cells(self, similarity: Tensor) -> Tensor:
        """Mean cells."""
        return expected_cells(similarity, self.temperature)


@dataclass(frozen=True)
class KernelSoftmax(_OfSimilarities):
    """Soft-argmax of the similarities times a Gaussian around the best cell (SD4Match `kernelsoftmax`; the paper's localizer).

    Attributes:
        sigma: the Gaussian's standard deviation in cells.
        relative_to: if set, `sigma` is meant for a grid of that many cells and grows and shrinks with the grid's longer side.
    """

    sigma: float = 7.0
    temperature: float = 0.04
    relative_to: int | None = None
    normalize: bool = True

    def cells(self, similarity: Tensor) -> Tensor:
        """Mean cells around the best ones."""
        sigma = self.sigma * max(similarity.shape[1:]) / self.relative_to if self.relative_to else self.sigma
        return expected_cells(kernel_weighted(similarity, sigma), self.temperature)


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

    def read_at(self, cells: Tensor) -> Tensor:
        """The patches that points fall into."""
        return (cells + 0.5).floor()

    def cells(self, similarity: Tensor) -> Tensor:
        """Mean cells within the windows."""
        return expected_cells(windowed(similarity, self.window), self.temperature)
