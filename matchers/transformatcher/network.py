"""TransforMatcher's network, under the names of the authors' checkpoints.

Each match, a pair of cells, is a token; its features are the cosines of the two cells at every level of the
backbone. A transformer gives each match one score.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from matchers.formulas import correlate, normalize_exactly, resize_corners, resize_volume
from matchers.transformatcher.attention import MatchAttention

WIDTH, HEADS, HEAD_WIDTH, DEPTH, GROWTH = 16, 8, 4, 6, 4
"""Features of a token, heads, features of a head, pairs of blocks, and growth of a token in between."""


class PreNorm(nn.Module):
    """A block behind a layer norm."""

    def __init__(self, width: int, block: nn.Module) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.fn = block

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, n, width) -> the same shape."""
        result: Tensor = self.fn(self.norm(tokens))
        return result


class MatchToMatch(nn.Module):
    """All of the network but the backbone: cosines of all levels -> one score of each match.

    Args:
        levels: levels of the backbone.
        width: features of a token.
        depth: pairs of attention and feed-forward blocks.
        heads, head_width: of the attention.
        hidden: features of a token within a feed-forward block.
    """

    def __init__(
        self,
        levels: int,
        width: int = WIDTH,
        depth: int = DEPTH,
        heads: int = HEADS,
        head_width: int = HEAD_WIDTH,
        hidden: int = GROWTH * WIDTH,
    ) -> None:
        super().__init__()
        # Their numbers in the checkpoint count steps without weights, too.
        self.to_embedding = nn.Sequential(nn.Identity(), nn.Linear(levels, width))
        self.trans_nc = nn.ModuleList(
            nn.ModuleList(
                [
                    PreNorm(width, MatchAttention(width, heads, head_width)),
                    PreNorm(
                        width,
                        nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width)),
                    ),
                ]
            )
            for _ in range(depth)
        )
        self.to_original = nn.Sequential(nn.Linear(width, 1))

    @classmethod
    def like(cls, tensors: Mapping[str, Tensor]) -> MatchToMatch | None:
        """An untrained one of the shape of a checkpoint's tensors (`match2match.` stripped).

        None where they are not of such a network.
        """
        embedding, attended, hidden = (
            tensors.get(name)
            for name in ("to_embedding.1.weight", "trans_nc.0.0.fn.to_r.weight", "trans_nc.0.1.fn.0.weight")
        )
        out = tensors.get("trans_nc.0.0.fn.to_out.weight")
        if embedding is None or attended is None or hidden is None or out is None:
            return None
        if any(tensor.ndim != 2 for tensor in (embedding, attended, hidden, out)):
            return None
        depth = sum(name.startswith("trans_nc.") and name.endswith(".0.norm.weight") for name in tensors)
        head_width = len(attended)
        return cls(
            embedding.shape[1], len(embedding), depth, out.shape[1] // head_width, head_width, len(hidden)
        )

    @property
    def levels(self) -> int:
        """Number of the backbone's levels."""
        embedding = self.to_embedding[1]
        assert isinstance(embedding, nn.Linear)
        return embedding.in_features

    def correlate(self, source: Sequence[Tensor], target: Sequence[Tensor]) -> Tensor:
        """Cosines (B, L, h, w, h', w') of L levels on the grid of the first level; negative ones are 0.

        Features are of length 1 at their own size, and those of smaller maps shorter where they lie between
        cells.

        Args:
            source, target: maps (B, C_l, h_l, w_l).
        """
        source_size, target_size = _size(source[0]), _size(target[0])
        volumes = [
            correlate(
                resize_corners(normalize_exactly(first), source_size),
                resize_corners(normalize_exactly(second), target_size),
            )
            for first, second in zip(source, target, strict=True)
        ]
        return torch.stack(volumes, dim=1).clamp_min(0)

    def refine(self, correlations: Tensor) -> Tensor:
        """Cosines (B, L, h, w, h', w') -> scores (B, h, w, h', w')."""
        tokens = self.to_embedding(correlations.flatten(2).transpose(1, 2))
        for attention, feed_forward in self._blocks():
            tokens = tokens + attention(tokens)
            tokens = tokens + feed_forward(tokens)
        scores: Tensor = self.to_original(tokens)
        return scores.view(len(scores), *correlations.shape[2:])

    def forward(self, source: Sequence[Tensor], target: Sequence[Tensor]) -> Tensor:
        """Maps of all levels -> volume (B, 2h, 2w, 2h', 2w')."""
        scores = self.refine(self.correlate(source, target))
        height, width, rows, columns = scores.shape[1:]
        return resize_volume(scores, (2 * height, 2 * width), (2 * rows, 2 * columns))

    def _blocks(self) -> list[tuple[nn.Module, nn.Module]]:
        pairs = []
        for pair in self.trans_nc:
            assert isinstance(pair, nn.ModuleList)
            attention, feed_forward = pair
            pairs.append((attention, feed_forward))
        return pairs


def _size(level: Tensor) -> tuple[int, int]:
    return level.shape[-2], level.shape[-1]
