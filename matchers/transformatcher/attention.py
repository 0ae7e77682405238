"""Additive attention between matches, with rotary positions, under the names of the authors' checkpoints.

Its cost grows with the number of matches and not with its square: all queries are summed up into one, all
keys into one, and each value is weighed by them.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

FREQUENCIES = (math.pi, 5 * math.pi)
"""Of the rotary positions: each for two neighbouring features."""

PAIR = 2
"""Neighbouring features that are rotated, and added up, together."""


class RotaryPositions(nn.Module):
    """Angles of tokens: their number in the sequence times a frequency.

    Attributes:
        freqs: (F) frequencies.
    """

    freqs: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("freqs", torch.tensor(FREQUENCIES))

    def turn(self, features: Tensor) -> Tensor:
        """Rotates (..., n, 2 F): neighbours (a, b) become (a cos - b sin, b cos + a sin)."""
        cosine, sine = (part.to(features.device) for part in self._table(features.shape[-2]))
        first, second = features[..., 0::PAIR], features[..., 1::PAIR]
        turned = torch.stack([first * cosine - second * sine, second * cosine + first * sine], dim=-1)
        return turned.flatten(-2)

    def _table(self, count: int) -> tuple[Tensor, Tensor]:
        """Cosines and sines (n, F) of the angles of `count` tokens.

        Angles reach hundreds of thousands, where float32 rounds them to hundredths. The trained weights know
        the rounded ones, so that they are products in float32, on the CPU for any device.
        """
        angles = torch.arange(count, dtype=torch.float32)[:, None] * self.freqs.detach().float().cpu()
        return angles.cos(), angles.sin()


class MatchAttention(nn.Module):
    """Additive attention of several heads.

    Args:
        width: features of a token.
        heads: number of heads.
        head_width: features of a head's query, key and value.
    """

    def __init__(self, width: int, heads: int, head_width: int) -> None:
        super().__init__()
        self.heads, self.head_width = heads, head_width
        self.to_qkv = nn.Linear(width, 3 * heads * head_width, bias=False)
        self.pos_emb = RotaryPositions()
        self.to_q_attn_logits = nn.Linear(head_width, 1, bias=False)
        self.to_k_attn_logits = nn.Linear(head_width // PAIR, 1, bias=False)
        self.to_r = nn.Linear(head_width // PAIR, head_width)
        self.to_out = nn.Linear(heads * head_width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, n, width) -> the same shape."""
        query, key, value = self._split(self.to_qkv(tokens))
        query_weight = self._weights(self.to_q_attn_logits(query))
        all_queries = (query_weight * self.pos_emb.turn(query)).sum(-2, keepdim=True)
        key_weight = self._weights(self.to_k_attn_logits(_add_pairs(key * all_queries)))
        all_keys = (key_weight * self.pos_emb.turn(key)).sum(-2, keepdim=True)
        result = self.to_r(_add_pairs(value * all_keys)) + query
        joined: Tensor = self.to_out(result.transpose(1, 2).flatten(2))
        return joined

    def _split(self, projected: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, n, 3 heads width) -> queries, keys, values, each (B, heads, n, width)."""
        parts = projected.unflatten(-1, (3, self.heads, self.head_width)).permute(2, 0, 3, 1, 4)
        query, key, value = parts.unbind(0)
        return query, key, value

    def _weights(self, logits: Tensor) -> Tensor:
        """Weights (B, heads, n, 1) of the tokens, which sum to 1."""
        return torch.softmax(logits * self.head_width**-0.5, -2)


def _add_pairs(features: Tensor) -> Tensor:
    """(..., 2 F) -> (..., F): sums of neighbouring features."""
    return features[..., 0::PAIR] + features[..., 1::PAIR]
