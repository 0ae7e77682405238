"""Regularised Hough matching: pairs of cells that agree on a displacement raise each other's score.

A cell's box has its centre at `STRIDE` pixels times the cell's number. A pair of boxes votes, with its
appearance, for the bin of the displacement between their centres; the votes are smoothed; and each pair's
appearance is multiplied by the votes of its bin.

Boxes lie on a lattice, so that the bin across follows from the two columns and the bin down from the two
rows. Votes are therefore sums over columns and then over rows, as products with matrices of zeros and ones:
no table of all pairs' bins is needed, and the order of summation is the same in every run, on a GPU too.
"""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from matchers.dhpf.network import STRIDE

_BINS_OF_AN_IMAGE = 8192
"""A bin's area is that of twice the image's width times twice its height, divided by this."""

_FILTER_SIDE = 7
"""Side in bins of the filter that smooths votes."""

_FILTER_SIGMA = 7 / 2 / 2.354
"""Its standard deviation in bins: the width at half its height is half its side."""


class HoughSpace:
    """Bins of the displacements between the cells of two square images of one size.

    Args:
        side: of the images, in pixels.
        cells: of the lattice, across and down alike.
        like: a tensor of the device and the kind of number of the correlations.
    """

    def __init__(self, side: int, cells: int, like: Tensor) -> None:
        self.cells = cells
        self._like = like
        bin_side = ((2 * side) * (2 * side) / _BINS_OF_AN_IMAGE) ** 0.5
        self.bins = int(2 * side / bin_side) + 1
        centres = torch.arange(cells, dtype=torch.float64) * STRIDE
        offsets = side - centres[:, None] + centres[None, :]
        self.axis_bins = (offsets / bin_side).long().to(like.device)
        """(cells, cells) bins of the displacement along one axis, from source cell to target cell."""

    @cached_property
    def kernel(self) -> Tensor:
        """(7, 7) Gaussian filter of sum 1."""
        steps = torch.arange(_FILTER_SIDE, dtype=torch.float64) - _FILTER_SIDE // 2
        heights = (-steps.square() / (2 * _FILTER_SIGMA**2)).exp()
        kernel = torch.outer(heights, heights)
        return (kernel / kernel.sum()).to(self._like)

    @cached_property
    def _membership(self) -> Tensor:
        """(cells x cells, bins) ones where two positions along an axis belong to a bin."""
        return torch.nn.functional.one_hot(self.axis_bins.flatten(), self.bins).to(self._like)

    def votes(self, appearance: Tensor) -> Tensor:
        """Smoothed votes (bins down, bins across) of an appearance (S, T)."""
        across = []
        for rows in self._by_source_row(appearance):
            # (w, h', w') -> (h', w x w') -> votes of each target row for the bins across.
            columns = rows.transpose(0, 1).flatten(1)
            across.append(columns @ self._membership)
        votes = self._membership.T @ torch.cat(across)
        smoothed = torch.nn.functional.conv2d(votes[None, None], self.kernel[None, None], padding="same")
        return smoothed[0, 0]

    def scores(self, votes: Tensor, row: int) -> Tensor:
        """Votes (w, h', w') at the bins of the pairs whose source cells lie in a row."""
        by_target_row = votes[self.axis_bins[row]]
        return by_target_row[:, self.axis_bins].transpose(0, 1)

    def all_scores(self, appearance: Tensor) -> Tensor:
        """Votes (S, T) at the bins of all pairs."""
        votes = self.votes(appearance)
        rows = [self.scores(votes, row).flatten(1) for row in range(self.cells)]
        return torch.cat(rows)

    def weigh(self, appearance: Tensor) -> None:
        """Multiplies an appearance (S, T) by the votes for its displacements, in place."""
        votes = self.votes(appearance)
        for row, rows in enumerate(self._by_source_row(appearance)):
            rows.mul_(self.scores(votes, row))

    def _by_source_row(self, appearance: Tensor) -> Tensor:
        """An appearance (S, T) as (h, w, h', w')."""
        return appearance.view((self.cells,) * 4)
