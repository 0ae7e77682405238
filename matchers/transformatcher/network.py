"""TransforMatcher's network, under the names of the authors' checkpoints.

Each match, a pair of cells, is a token; its features are the cosines of the two cells at every level of the
backbone. A transformer gives each match one score.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self

import torch
from torch import Tensor, nn

from harness.errors import UserError
from harness.messages import counted
from matchers.backbones.checkpoints import Checkpoint, load_tensors
from matchers.backbones.paired import PairedResNet
from matchers.formulas import correlate, normalize_exactly, resize_corners, resize_volume
from matchers.transformatcher.attention import MatchAttention

IMAGE_SIZE = 240
"""Side of the published networks' square input in pixels."""

FIRST_LAYER = 3
"""Layer of the backbone from which on all blocks are read."""

WIDTH, HEADS, HEAD_WIDTH, DEPTH, GROWTH = 16, 8, 4, 6, 4
"""Features of a token, heads, features of a head, pairs of blocks, and growth of a token in between."""


_MATRICES = (
    "to_embedding.1.weight",
    "trans_nc.0.0.fn.to_r.weight",
    "trans_nc.0.0.fn.to_out.weight",
    "trans_nc.0.1.fn.0.weight",
)
"""Weights whose shapes say how large a network is."""

UNREAD = ("posenc", "*.pos_emb.freqs")
"""Tensors that may be missing: a table of positions that is never used, and frequencies that are the same."""


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
    def like(cls, tensors: Mapping[str, Tensor], subject: str = "TransforMatcher") -> Self:
        """An untrained one of the shape of a checkpoint's tensors (`match2match.` stripped).

        Args:
            subject: their file, for messages.

        Raises:
            UserError: they are not those of such a network.
        """
        for name in _MATRICES:
            if name not in tensors or tensors[name].ndim != 2:
                raise UserError(
                    f"{subject}: match2match.{name} is missing or no matrix; "
                    "give a checkpoint of TransforMatcher"
                )
        embedding, attended, out, hidden = (tensors[name] for name in _MATRICES)
        depth = sum(name.startswith("trans_nc.") and name.endswith(".0.norm.weight") for name in tensors)
        head_width = max(len(attended), 1)
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


class TransforMatcher(nn.Module):
    """The whole network, from pictures to a volume.

    Attributes:
        backbone: of source and target.
        match2match: all the rest.
    """

    def __init__(self, backbone: PairedResNet, match2match: MatchToMatch) -> None:
        super().__init__()
        self.backbone, self.match2match = backbone, match2match

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> Self:
        """Makes it of a checkpoint. Raises `UserError` where that is another network's."""
        subject = str(checkpoint.path)
        head = load_head(checkpoint)
        network = cls(PairedResNet.of_doubled(checkpoint.part("backbone."), subject), head)
        if len(network.levels) != head.levels:
            raise UserError(
                f"{subject}: its backbone has {counted(len(network.levels), 'block')} from layer 3 on, and "
                f"match2match takes {head.levels}; give a checkpoint of one network"
            )
        return network

    @property
    def levels(self) -> list[int]:
        """Hyperpixel indices of the levels that are read: all blocks of layer 3 and those after it."""
        backbone = self.backbone.source
        return list(range(backbone.levels_of(FIRST_LAYER)[0], backbone.last_level + 1))

    def state_to_save(self) -> dict[str, Tensor]:
        """Its tensors under the names of the authors' checkpoints."""
        backbone = {f"backbone.{name}": tensor for name, tensor in self.backbone.doubled_state().items()}
        head = {f"match2match.{name}": tensor for name, tensor in self.match2match.state_dict().items()}
        return backbone | head

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Pictures (B, 3, s, s) -> volume (B, 2h, 2w, 2h', 2w')."""
        volume: Tensor = self.match2match(*self.backbone.pair_levels(source, target, self.levels))
        return volume


def load_head(checkpoint: Checkpoint) -> MatchToMatch:
    """The head of a checkpoint. Raises `UserError` where that is another network's."""
    tensors = checkpoint.part("match2match.")
    head = MatchToMatch.like(tensors, str(checkpoint.path))
    load_tensors(head, tensors, checkpoint.path, harmless=UNREAD)
    return head


def _size(level: Tensor) -> tuple[int, int]:
    return level.shape[-2], level.shape[-1]
