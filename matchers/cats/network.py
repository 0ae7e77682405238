"""CATs' head: cosines of several levels, refined by attention among cells and among levels.

After Cho et al., "CATs: Cost Aggregation Transformers for Visual Correspondence", NeurIPS 2021. Names of
modules are those of the authors' checkpoints. Source and target are the authors': the network looks up target
cells, whose matches it seeks in the source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from matchers.backbones.resnet import ResNet
from matchers.formulas import filter_mutually, normalize_features, resize_corners, unit_coordinates

HEADS = 6
"""Attention heads of the published networks; no tensor's shape tells them."""

NORM_EPSILON = 1e-6


@dataclass(frozen=True)
class HeadShape:
    """Sizes of a head.

    Attributes:
        channels: channels of the features of each level.
        grid: rows, and columns, of the square grid on which all levels are matched.
        projection: channels to which the features are reduced.
        depth: attention blocks.
        heads: attention heads.
        ratio: width of the blocks' hidden layers over their own.
    """

    channels: tuple[int, ...]
    grid: int
    projection: int
    depth: int = 1
    heads: int = HEADS
    ratio: int = 4

    @property
    def width(self) -> int:
        """Channels of a token: cosines with all cells of the other picture, and its projected features."""
        return self.grid**2 + self.projection

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor], heads: int = HEADS) -> Self:
        """Reads the sizes off a checkpoint's tensors, which must have the names that `CatsHead` has.

        Raises:
            KeyError: a tensor is missing.
        """
        projections = numbered(tensors, "proj.", ".weight")
        weights = [tensors[f"proj.{level}.weight"] for level in range(projections)]
        hidden = tensors["decoder.blocks.0.mlp.fc1.weight"]
        return cls(
            channels=tuple(weight.shape[1] for weight in weights),
            grid=tensors["decoder.pos_embed_x"].shape[3],
            projection=weights[0].shape[0] if weights else 0,
            depth=numbered(tensors, "decoder.blocks.", ".norm1.weight"),
            heads=heads,
            ratio=hidden.shape[0] // hidden.shape[1],
        )


def numbered(names: Mapping[str, Tensor], before: str, after: str) -> int:
    """Number of the tensors `before`0`after`, `before`1`after`... that follow on each other."""
    count = 0
    while f"{before}{count}{after}" in names:
        count += 1
    return count


class Attention(nn.Module):
    """Self-attention of several heads."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (B, N, C), which see each other within their sequence -> (B, N, C)."""
        batch, count, width = tokens.shape
        parts = self.qkv(tokens).view(batch, count, 3, self.heads, width // self.heads)
        queries, keys, values = parts.permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(queries, keys, values)
        output: Tensor = self.proj(mixed.transpose(1, 2).reshape(batch, count, width))
        return output


class FeedForward(nn.Module):
    """Two layers with an exact GELU between them."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(..., C) -> (..., C)."""
        output: Tensor = self.fc2(nn.functional.gelu(self.fc1(tokens)))
        return output


class Block(nn.Module):
    """Attention among the cells of each level, then among the levels at each cell."""

    def __init__(self, width: int, heads: int, ratio: int) -> None:
        super().__init__()
        self.attn = Attention(width, heads)
        self.attn_multiscale = Attention(width, heads)
        self.norm1, self.norm2, self.norm3, self.norm4 = (
            nn.LayerNorm(width, eps=NORM_EPSILON) for _ in range(4)
        )
        self.mlp = FeedForward(width, ratio * width)
        self.mlp2 = FeedForward(width, ratio * width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (B, L, N, C) of L levels and N cells -> the same shape."""
        levels = tokens.shape[1]
        among_cells = tokens.flatten(0, 1)
        among_cells = among_cells + self.attn(self.norm1(among_cells))
        among_cells = among_cells + self.mlp2(self.norm4(among_cells))
        by_cell = among_cells.unflatten(0, (-1, levels)).transpose(1, 2)
        among_levels = by_cell.flatten(0, 1)
        among_levels = among_levels + self.attn_multiscale(self.norm3(among_levels))
        among_levels = among_levels + self.mlp(self.norm2(among_levels))
        output: Tensor = among_levels.view(by_cell.shape).transpose(1, 2)
        return output


class Aggregator(nn.Module):
    """The transformer that refines the correlation, once seen from either picture."""

    def __init__(self, shape: HeadShape) -> None:
        super().__init__()
        levels, half = len(shape.channels), shape.width // 2
        self.pos_embed_x = nn.Parameter(torch.zeros(1, levels, 1, shape.grid, half))
        self.pos_embed_y = nn.Parameter(torch.zeros(1, levels, shape.grid, 1, half))
        nn.init.trunc_normal_(self.pos_embed_x, std=0.02)
        nn.init.trunc_normal_(self.pos_embed_y, std=0.02)
        self.blocks = nn.ModuleList(Block(shape.width, shape.heads, shape.ratio) for _ in range(shape.depth))
        self.proj = nn.Linear(shape.width, shape.grid**2)
        # The checkpoints have it, and the authors' program does not use it.
        self.norm = nn.LayerNorm(shape.width, eps=NORM_EPSILON)

    def forward(self, correlation: Tensor, source: Tensor, target: Tensor) -> Tensor:
        """Refined correlation (B, S, T), the mean over the levels.

        Args:
            correlation: (B, L, S, T).
            source, target: (B, L, S, P) and (B, L, T, P) projected features.
        """
        from_target = self._refine(correlation.transpose(-1, -2), target)
        halfway = from_target.transpose(-1, -2) + correlation
        return (self._refine(halfway, source) + correlation).mean(1)

    def _refine(self, correlation: Tensor, features: Tensor) -> Tensor:
        """Correlation (B, L, N, M), rows as tokens with their features (B, L, N, P) -> (B, L, N, M)."""
        tokens = torch.cat([correlation, features], dim=-1) + self._positions()
        for block in self.blocks:
            tokens = block(tokens)
        output: Tensor = self.proj(tokens)
        return output

    def _positions(self) -> Tensor:
        """Table of positions (1, L, N, C), x before y."""
        grid = self.pos_embed_x.shape[3]
        across = self.pos_embed_x.expand(-1, -1, grid, -1, -1)
        down = self.pos_embed_y.expand(-1, -1, -1, grid, -1)
        return torch.cat([across, down], dim=-1).flatten(2, 3)


class CatsHead(nn.Module):
    """Everything of CATs but its backbone."""

    def __init__(self, shape: HeadShape) -> None:
        super().__init__()
        self.shape = shape
        self.register_buffer("x_normal", unit_coordinates(shape.grid, torch.zeros(())))
        self.register_buffer("y_normal", unit_coordinates(shape.grid, torch.zeros(())))
        self.proj = nn.ModuleList(nn.Linear(channels, shape.projection) for channels in shape.channels)
        self.decoder = Aggregator(shape)

    def project(self, levels: Sequence[Tensor]) -> Tensor:
        """Raw features (B, C_i, g, g) of every level -> (B, L, g * g, P)."""
        tokens = [
            project(level.flatten(2).transpose(1, 2))
            for project, level in zip(self.proj, levels, strict=True)
        ]
        return torch.stack(tokens, dim=1)

    def forward(self, correlation: Tensor, source: Tensor, target: Tensor) -> Tensor:
        """See `Aggregator.forward`."""
        refined: Tensor = self.decoder(correlation, source, target)
        return refined


class Levels(nn.Module):
    """The backbone; a module of its own for the names of tensors alone."""

    def __init__(self, backbone: ResNet) -> None:
        super().__init__()
        self.backbone = backbone


class Cats(CatsHead):
    """The whole network.

    Args:
        levels: hyperpixel indices of the backbone's levels, one for each projection of the head.
    """

    def __init__(self, backbone: ResNet, shape: HeadShape, levels: Sequence[int]) -> None:
        super().__init__(shape)
        self.feature_extraction = Levels(backbone)
        self.levels = tuple(levels)

    @property
    def backbone(self) -> ResNet:
        """The ResNet."""
        return self.feature_extraction.backbone

    def encode(self, pixels: Tensor) -> list[Tensor]:
        """Raw features (B, C_i, g, g) of all levels, before their ReLU, for pixels (B, 3, s, s)."""
        grid = (self.shape.grid, self.shape.grid)
        maps = self.backbone(pixels, self.levels, before_relu=True)
        return [resize_corners(level, grid) for level in maps]

    def refine(self, source: Sequence[Tensor], target: Sequence[Tensor]) -> Tensor:
        """Refined correlation (B, S, T) of raw features (B, C_i, g, g) of all levels."""
        correlation = filter_mutually(correlate_levels(source, target), zero_maximum=True)
        refined: Tensor = self(correlation, self.project(source), self.project(target))
        return refined


def correlate_levels(source: Sequence[Tensor], target: Sequence[Tensor]) -> Tensor:
    """Cosines (B, L, S, T) of raw features (B, C_i, h, w) of L levels."""
    return torch.stack(
        [
            normalize_features(start).flatten(2).transpose(1, 2) @ normalize_features(goal).flatten(2)
            for start, goal in zip(source, target, strict=True)
        ],
        dim=1,
    )
