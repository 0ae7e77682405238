"""A vision transformer whose tokens are compared, and the temperature of the softmax over their cosines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.vit.card import VitCard
from baselines.vit.positions import use_authors_positions
from harness.errors import UserError
from matchers.formulas import correlate
from matchers.simsc.names import Kind

RANGE = (1e-3, 1.0)
"""Least and largest temperature: beyond them, softmax of cosines is one cell, or nearly even."""

NEAREST = 16
"""Target cells whose mean tells how much better than others the best one is."""

_STATISTICS, _HIDDEN = 4, 16


class Temperature(nn.Module):
    """The temperature, of one of three kinds.

    `single` is one number for all pictures; `mlp` one for each pair, which a small network sees in the
    correlation; `per-pixel` one for each source cell, which it sees in that cell's row.

    The network sees of a row its largest value, mean and standard deviation, and how far the largest lies
    above the mean of the sixteen largest, so that it fits grids of all sizes. It begins as `single`.

    Args:
        start: temperature before anything is learned.
    """

    def __init__(self, kind: Kind, start: float) -> None:
        super().__init__()
        if kind not in get_args(Kind):
            raise UserError(f"temperature={kind}: not one of {', '.join(get_args(Kind))}")
        self.kind = kind
        self.logarithm = nn.Parameter(torch.tensor(float(start)).log())
        if kind != "single":
            last = nn.Linear(_HIDDEN, 1)
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
            self.mlp = nn.Sequential(nn.Linear(_STATISTICS, _HIDDEN), nn.GELU(), last)

    def forward(self, correlation: Tensor) -> Tensor:
        """Correlations (B, h, w, h', w') -> temperatures (B, 1 or h, 1 or w, 1, 1)."""
        logarithm = self.logarithm.expand(len(correlation), 1, 1)
        if self.kind != "single":
            rows = correlation.flatten(3)
            largest = rows.topk(min(NEAREST, rows.shape[-1]), dim=-1).values
            best = largest[..., 0]
            parts = [best, rows.mean(-1), rows.std(-1, correction=0), best - largest.mean(-1)]
            statistics = torch.stack(parts, dim=-1)
            if self.kind == "mlp":
                statistics = statistics.mean(dim=(1, 2), keepdim=True)
            logarithm = logarithm + self.mlp(statistics)[..., 0]
        return logarithm.exp().clamp(*RANGE)[..., None, None]


class SimSc(nn.Module):
    """The whole network.

    Args:
        backbone: a vision transformer of transformers, whose learned positions are interpolated as its
            authors do.
        card: its sizes.
    """

    def __init__(self, backbone: Any, card: VitCard, temperature: Temperature) -> None:
        super().__init__()
        self.backbone, self.temperature, self.card = backbone, temperature, card
        use_authors_positions(backbone, card, card.position_offset())

    def encode(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, C, h, w): the last block's tokens of patches after the final norm."""
        height, width = pixels.shape[2:]
        rows, columns = self.card.grid_size(height, width, self.card.patch)
        # DINOv1's class takes other sizes than its own only with this option; the others always do.
        options = {"interpolate_pos_encoding": True} if self.card.architecture == "ViTModel" else {}
        tokens: Tensor = self.backbone(pixels, **options).last_hidden_state[:, self.card.prefix :]
        maps: Tensor = tokens.transpose(1, 2).reshape(len(pixels), -1, rows, columns)
        return maps

    def match(self, source: Tensor, target: Tensor) -> Tensor:
        """Maps (B, C, h, w), (B, C, h', w') -> scores (B, h, w, h', w'): see `score_cells`."""
        return score_cells(self.temperature, source, target)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Pictures (B, 3, H, W) -> scores (B, h, w, h', w')."""
        return self.match(self.encode(source), self.encode(target))


def score_cells(temperature: Callable[[Tensor], Tensor], source: Tensor, target: Tensor) -> Tensor:
    """Cosines (B, h, w, h', w') over their temperature: a softmax of them at temperature 1 is SimSC's."""
    cosines = correlate(F.normalize(source, dim=1), F.normalize(target, dim=1))
    return cosines / temperature(cosines)
