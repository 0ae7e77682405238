"""The pairs of a step; they follow from (seed, step) alone."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache

import torch


@dataclass(frozen=True)
class PairOrder:
    """An endless stream of pair numbers: one permutation of all pairs after another, each from its own
    generator.

    Attributes:
        pairs: number of all pairs.
    """

    pairs: int
    seed: int

    def numbers(self, start: int, count: int) -> list[int]:
        """Numbers at positions `start` to `start + count - 1` of the stream."""
        numbers = []
        for position in range(start, start + count):
            epoch, index = divmod(position, self.pairs)
            numbers.append(_permutation(self.pairs, self.seed, epoch)[index])
        return numbers


@lru_cache(maxsize=4)
def _permutation(pairs: int, seed: int, epoch: int) -> list[int]:
    digest = hashlib.sha256(f"pairs {seed} {epoch}".encode()).digest()
    # A seed is a signed number of 64 bits.
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
    return torch.randperm(pairs, generator=generator).tolist()
