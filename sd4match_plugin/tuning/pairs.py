"""The pairs of a step and their points; everything follows from (seed, step) alone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from harness.datasets.selection import choose_spread
from harness.datasets.splits import SplitIndex
from harness.errors import UserError
from harness.frames import Frame, Size, clamp
from harness.scoring.protocols import SD4MATCH
from harness.specs import ImagePair, valid_points

_MARGIN = SD4MATCH.clamp or 0.0


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


def usable_pairs(index: SplitIndex, limit: int | None = None, *, is_scored: bool = False) -> list[ImagePair]:
    """A split's pairs that have a point in both images, in the dataset's order; with a limit, so many of
    them, spread over the categories as `bench run --limit` spreads them.

    Args:
        is_scored: whether the pairs are scored, for which each needs the length that alpha multiplies.

    Raises:
        UserError: there is no such pair.
    """
    left_out = {*index.excluded, *(index.lacking(index.threshold) if is_scored else ())}
    pairs = [pair for pair_id, pair in index.pairs.items() if pair_id not in left_out]
    if not pairs:
        lack = "can be scored" if is_scored else "has a valid point"
        raise UserError(f"{index.label} {index.split}: none of its {len(index.pair_ids)} pairs {lack}")
    chosen = choose_spread({pair.pair_id: pair.category for pair in pairs}, limit)
    if limit is None and not is_scored:
        # A training takes each entry of its list: PF-PASCAL's names 488 pairs twice.
        usable = set(chosen)
        chosen = [pair_id for pair_id in index.listed or index.pair_ids if pair_id in usable]
    return [index.pairs[pair_id] for pair_id in chosen]


@dataclass(frozen=True, eq=False)
class Points:
    """The points of B pairs, in pixels of the stretched frame, moved into it as protocol `sd4match` does.

    Attributes:
        source, target: (B, N, 2) float32 (x, y), N being the largest number of points of a pair; rows beyond
            a pair's own count are zero.
        counts: points of each pair.
    """

    source: torch.Tensor
    target: torch.Tensor
    counts: list[int]


def points_of(pairs: Sequence[ImagePair], frame: Size) -> Points:
    """The points of pairs in a frame. Points that are absent or not finite in either image are left out."""
    valid = [valid_points(pair) for pair in pairs]
    counts = [int(is_valid.sum()) for is_valid in valid]
    source, target = (torch.zeros(len(pairs), max(counts), 2) for _ in range(2))
    for number, (pair, is_valid, count) in enumerate(zip(pairs, valid, counts, strict=True)):
        source[number, :count] = _in_frame(pair.source_points[is_valid], pair.source_size, frame)
        target[number, :count] = _in_frame(pair.target_points[is_valid], pair.target_size, frame)
    return Points(source, target, counts)


def _in_frame(points: np.ndarray, size: Size, frame: Size) -> torch.Tensor:
    """Points in original pixels -> pixels of the stretched frame, moved into it."""
    return torch.from_numpy(clamp(Frame.stretched(size, frame).from_original(points), frame, _MARGIN)).float()
