"""Matches that frozen features agree on, as labels for a head: DIY-SC's, less poses and sphere."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def consistent_matches(
    source: Tensor,
    target: Tensor,
    source_mask: Tensor,
    target_mask: Tensor,
    *,
    number: int,
    reach: float,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Matches of cells of two objects, by nearest neighbours that lead back to near where they began.

    A relaxed cycle: the match of a cell's match need not be the cell itself.

    Args:
        source, target: features (C, h, w), which are compared by cosine.
        source_mask, target_mask: (1, s, s), 1 on the object.
        number: source cells that are tried, drawn at random from the object's.
        reach: largest distance of the way back from its beginning, in cells.
        generator: on the CPU.

    Returns:
        Centres (N, 2) of source and target cells, in cells from the grid's edge; N may be 0.
    """
    starts, goals = (
        _cells_on_object(features, mask) for features, mask in ((source, source_mask), (target, target_mask))
    )
    if not len(starts) or not len(goals):
        return starts[:0] + 0.5, goals[:0] + 0.5
    similarity = _features_at(source, starts).T @ _features_at(target, goals)
    there, back = similarity.argmax(1), similarity.argmax(0)
    ways = (starts[back[there]] - starts).norm(dim=1)
    order = torch.randperm(len(starts), generator=generator)[:number].to(ways.device)
    kept = order[ways[order] <= reach]
    return starts[kept] + 0.5, goals[there[kept]] + 0.5


def _cells_on_object(features: Tensor, mask: Tensor) -> Tensor:
    """(N, 2) float (x, y) of the cells of which the object covers at least a half."""
    height, width = features.shape[-2:]
    covered = F.adaptive_avg_pool2d(mask, (height, width))[0] >= 0.5
    return covered.nonzero().flip(1).to(features.dtype)


def _features_at(features: Tensor, cells: Tensor) -> Tensor:
    """(C, N), each of length 1."""
    x, y = cells.long().unbind(1)
    return F.normalize(features[:, y, x], dim=0)
