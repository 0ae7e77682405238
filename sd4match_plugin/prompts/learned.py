"""Prompts that are learned as they are: SD4Match-Single and SD4Match-Class (paper, section 3.2)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from baselines.stable_diffusion.text_encoder import TextEncoder
from harness.errors import unknown_name
from sd4match_plugin.prompts.tokens import LEARNED, random_rows

SINGLE = "dataset"
"""The one key of SD4Match-Single, as the release names it."""


class LearnedPrompts(nn.Module):
    """One parameter (1, N, D) for each key: `dataset` for Single (theta of eq. 2), the categories for Class
    (Theta of eq. 6).

    Args:
        rows: key -> (N, D) to start from; any strings. Copied, in float32.

    Attributes:
        keys: sorted; parameter i belongs to key i.
    """

    def __init__(self, rows: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.keys = tuple(sorted(rows))
        # A list, since the names of parameters may not hold dots, and categories may hold anything.
        self.rows = nn.ParameterList(
            [nn.Parameter(rows[key].detach()[None].float().clone()) for key in self.keys]
        )

    @classmethod
    def random(
        cls, keys: Iterable[str], backbone: TextEncoder, generator: torch.Generator, count: int = LEARNED
    ) -> LearnedPrompts:
        """Starts as the release does: `count` random tokens for each key, drawn in sorted order."""
        return cls({key: random_rows(backbone, count, generator) for key in sorted(set(keys))})

    def forward(self, keys: Sequence[str]) -> Tensor:
        """The rows of some keys, in their order -> (B, N, D). Raises `UserError` for a key without rows."""
        return torch.cat([self.rows[self._index(key)] for key in keys])

    def _index(self, key: str) -> int:
        if key not in self.keys:
            raise unknown_name("category of learned prompts", key, self.keys)
        return self.keys.index(key)
