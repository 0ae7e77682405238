"""Learned positions of a vision transformer, interpolated to another grid as its authors do.

DINO and DINOv2 without registers were released with code that adds a tenth of a cell to the number of rows
and columns before it divides by the learned grid's, and hands the quotient to the interpolation as its scale:
the samples then lie a little closer together than the grid's cells (`interpolate_offset` of DINOv2; DINO,
dino-vit-features, SD+DINO and earlier releases of transformers do the same). With registers nothing is added.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F

from baselines.vit.card import VitCard


def use_authors_positions(model: Any, card: VitCard, offset: float) -> None:
    """Makes a model interpolate its learned positions to the grid of its patch convolution.

    Args:
        model: of transformers, of the card's architecture; changed in place. Rotary positions stay.
        offset: cells that are added to the grid, from 0 to less than 1.
    """
    if not card.has_learned_positions:
        return
    embeddings = model.embeddings
    convolution = embeddings.patch_embeddings.projection

    def interpolate(tokens: torch.Tensor, height: int, width: int) -> torch.Tensor:
        learned = embeddings.position_embeddings
        # The stride as it is now: that of overlapping patches is set for a time.
        rows, columns = card.grid_size(height, width, convolution.stride[0])
        return interpolate_positions(learned, rows, columns, offset, card.has_antialiased_positions)

    embeddings.interpolate_pos_encoding = interpolate


def interpolate_positions(
    learned: torch.Tensor, rows: int, columns: int, offset: float, antialias: bool = False
) -> torch.Tensor:
    """Positions of a grid of patches from those of the square grid that was learned, bicubically.

    A grid as large as the learned one gets the learned positions, whatever the offset.

    Args:
        learned: (1, 1 + side * side, C): the class token's, and the patches' in rows.
        offset: cells added to rows and columns in the scale. Patch i is sampled at
            (i + 1/2) * side / (rows + offset) - 1/2.

    Returns:
        (1, 1 + rows * columns, C).
    """
    side = math.isqrt(learned.shape[1] - 1)
    if rows == columns == side:
        return learned
    grid = learned[:, 1:].unflatten(1, (side, side)).permute(0, 3, 1, 2)
    # With an offset the scale counts, and not the quotient of the sizes.
    size: dict[str, Any] = {"size": (rows, columns)}
    if offset:
        size = {"scale_factor": ((rows + offset) / side, (columns + offset) / side)}
    # In single precision always, as the authors do: half would shift positions.
    resized = F.interpolate(grid.float(), mode="bicubic", align_corners=False, antialias=antialias, **size)
    patches = resized.to(learned.dtype).permute(0, 2, 3, 1).flatten(1, 2)
    return torch.cat([learned[:, :1], patches], dim=1)
