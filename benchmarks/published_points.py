"""SD4Match's other localizers beside `published.kernel_softmax`, written plainly, to be timed.

Its script prints all four, each from similarities of its own. Points are in pixels of the stretched square.
"""

from __future__ import annotations

import published
import torch
from published import TEMPERATURE
from torch import Tensor

MARGIN = 1e-5
"""Of a cell: keeps the right and the lower neighbour inside the map."""


@torch.inference_mode()
def argmax(source: Tensor, target: Tensor, points: Tensor, side: int) -> Tensor:
    """(N, 2) places of the most similar cells.

    Args:
        source, target: (C, h, w).
        points: (N, 2) pixels of the stretched square.
        side: of that square.
    """
    return _best_cells(published._similarity(source, target, points, side)) * _step(target, side)


@torch.inference_mode()
def bilinear(source: Tensor, target: Tensor, points: Tensor, side: int) -> Tensor:
    """(N, 2) places of the best cells of four source cells around each point, blended by closeness."""
    height, width = source.shape[1:]
    step = _step(source, side)
    last = torch.tensor([width - 1, height - 1], dtype=points.dtype)
    cells = torch.minimum((points / step).clamp(MARGIN), last - MARGIN)
    corner = cells.floor()
    share = cells - corner
    blended = torch.zeros_like(cells)
    for right in (0, 1):
        for down in (0, 1):
            neighbour = corner + torch.tensor([right, down], dtype=corner.dtype)
            x, y = (share if far else 1 - share for far in (right, down))
            best = _best_cells(published._similarity(source, target, neighbour * step, side))
            blended += (x[:, 0] * y[:, 1])[:, None] * best
    return blended * _step(target, side)


@torch.inference_mode()
def soft_argmax(source: Tensor, target: Tensor, points: Tensor, side: int) -> Tensor:
    """(N, 2) mean places under softmax of the similarities."""
    similarity = published._similarity(source, target, points, side)
    height, width = similarity.shape[1:]
    probability = (similarity.flatten(1) / TEMPERATURE).softmax(dim=1).view_as(similarity)
    x = (probability.sum(1) * torch.arange(width)).sum(1)
    y = (probability.sum(2) * torch.arange(height)).sum(1)
    return torch.stack([x, y], dim=1) * _step(target, side)


def _best_cells(similarity: Tensor) -> Tensor:
    """(N, 2) column and row of the highest."""
    best = similarity.flatten(1).argmax(dim=1)
    width = similarity.shape[2]
    return torch.stack([best % width, best // width], dim=1).to(similarity.dtype)


def _step(features: Tensor, side: int) -> Tensor:
    """(2,) pixels from one cell to the next: the first and the last cell lie on the outermost pixels."""
    height, width = features.shape[1:]
    return torch.tensor([(side - 1) / (width - 1), (side - 1) / (height - 1)], dtype=features.dtype)
