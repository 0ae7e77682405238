"""Matches of a pair, read at positions of the source."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from harness.frames import GridConvention
from harness.localizers.similarity import CellGrid, sample
from harness.specs import Matches


def matches_grid(matches: Matches, side: Literal["source", "target"], default: GridConvention) -> CellGrid:
    """The cells of one side of matches.

    Args:
        default: how they lie where the matches do not say.
    """
    lattice = matches.source if side == "source" else matches.target
    return CellGrid(lattice, default, _tensor(matches).device)


def volume_rows(matches: Matches, positions: Tensor) -> Tensor:
    """Scores (N, h', w') of all target cells for N positions among the source cells, in float32 at least.

    The volume is sampled at positions (N, 2), bilinearly and clamped to the border.

    Raises:
        ValueError: the matches are a flow.
    """
    if matches.volume is None:
        raise ValueError("a flow has no scores of all cells; this localizer reads a volume")
    height, width, rows, columns = matches.volume.shape
    # As a map with a channel for each target cell; only the cells that are asked for are copied.
    by_target = matches.volume.view(height, width, rows * columns).permute(2, 0, 1)
    sampled = sample(by_target, positions)
    dtype = torch.promote_types(sampled.dtype, torch.float32)
    return sampled.to(dtype).view(len(positions), rows, columns)


def flow_at(matches: Matches, positions: Tensor) -> Tensor:
    """Target positions (N, 2) in cells, in float64, for positions (N, 2) among the source cells.

    The flow is sampled bilinearly and clamped to the border.

    Raises:
        ValueError: the matches are a volume.
    """
    if matches.flow is None:
        raise ValueError("a volume is no flow; this localizer reads a flow")
    return sample(matches.flow.double(), positions)


def _tensor(matches: Matches) -> Tensor:
    tensor = matches.volume if matches.flow is None else matches.flow
    if tensor is None:
        raise ValueError("matches hold either a volume or a flow")
    return tensor
