"""Sparse flows that keypoints give, which CATs' family learns from."""

from __future__ import annotations

import torch
from torch import Tensor

REACH = 17 / 16
"""Half the side of the square around a cell's centre in which keypoints belong to it, in cells.

The authors' square has 35 pixels, of an input of 256 in 16 cells: neighbouring squares overlap.
"""


def sparse_flow(points: Tensor, goals: Tensor, grid: int, side: int) -> tuple[Tensor, Tensor]:
    """The flow (2, grid, grid) in cells that keypoints name, and the cells (grid, grid) that have one.

    A keypoint belongs to all cells whose squares it lies in. Where several belong to one cell, its flow leads
    from their mean to the goal of the last one, as in the authors' program.

    Args:
        points: (N, 2) pixels of an input of `side` pixels, in the picture whose cells get a flow.
        goals: (N, 2) pixels of the same keypoints in the other picture.
    """
    cell = side / grid
    if not len(points):
        return points.new_zeros(2, grid, grid), points.new_zeros(grid, grid, dtype=torch.bool)
    centres = torch.arange(grid, dtype=points.dtype, device=points.device) + 0.5
    across, down = (((points[:, axis, None] / cell) - centres).abs() <= REACH for axis in (0, 1))
    belongs = (down[:, :, None] & across[:, None, :]).to(points.dtype)
    counts = belongs.sum(0)
    is_known = counts > 0
    starts = torch.einsum("nyx,nc->cyx", belongs, points) / counts.clamp(min=1)
    numbers = torch.arange(1, len(points) + 1, dtype=points.dtype, device=points.device)
    # The others' number, -1, is some keypoint's, too; their flow is cleared.
    last = (belongs * numbers[:, None, None]).amax(0).long() - 1
    flow = (goals[last].permute(2, 0, 1) - starts) / cell
    return flow * is_known, is_known
