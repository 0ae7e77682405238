"""Which pairs a step sees, and where their points lie: everything follows from (seed, step) alone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch

from harness.datasets.splits import SplitIndex
from harness.errors import UserError
from harness.frames import Frame, Size, clamp
from harness.scoring.protocols import SD4MATCH
from harness.specs import ImagePair, valid_points

_MARGIN = SD4MATCH.clamp or 0.0


@dataclass(frozen=True)
class PairOrder:
    """An endless stream of pair numbers: one permutation of all pairs after another, each from a generator of its own.

    Attributes:
        pairs: how many there are.
    """

    pairs: int
    seed: int

    def numbers(self, first: int, count: int) -> list[int]:
        """Numbers `first` to `first + count - 1` of the stream."""
        return [self._epoch(place // self.pairs)[place % self.pairs] for place in range(first, first + count)]

    def _epoch(self, epoch: int) -> list[int]:
        return _permutation(self.pairs, self.seed, epoch)


@lru_cache(maxsize=4)
def _permutation(pairs: int, seed: int, epoch: int) -> list[int]:
    digest = hashlib.sha256(f"pairs {seed} {epoch}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
    return torch.randperm(pairs, generator=generator).tolist()


def usable_pairs(index: SplitIndex, limit: int | None = None) -> list[ImagePair]:
    """A split's pairs that have a point in both images, in the dataset's order, evenly spread over it where only `limit` are wanted.

    Raises:
        UserError: there is none.
    """
    pairs = [pair for pair_id, pair in index.pairs.items() if pair_id not in index.excluded]
    if not pairs:
        raise UserError(
            f"{index.label} {index.split}: none of its {len(index.pair_ids)} pairs has a valid point"
        )
    if limit is None or limit >= len(pairs):
        return pairs
    # A dataset's first pairs are often all of one category.
    return [pairs[number * len(pairs) // limit] for number in range(limit)]


@dataclass(frozen=True, eq=False)
class Points:
    """The points of B pairs, in pixels of the stretched frame, moved into it as protocol `sd4match` does.

    Attributes:
        source, target: (B, N, 2) float32 (x, y), N being the most points of a pair; rows beyond a pair's own count are zero.
        counts: points of each pair.
    """

    source: torch.Tensor
    target: torch.Tensor
    counts: list[int]


def points_of(pairs: Sequence[ImagePair], frame: Size) -> Points:
    """Points that are absent or not finite in either image are left out."""
    rows = [_framed(pair, frame) for pair in pairs]
    counts = [len(source) for source, _ in rows]
    source, target = (torch.zeros(len(pairs), max(counts), 2) for _ in range(2))
    for number, (one, other) in enumerate(rows):
        source[number, : len(one)], target[number, : len(other)] = one, other
    return Points(source, target, counts)


def _framed(pair: ImagePair, frame: Size) -> tuple[torch.Tensor, torch.Tensor]:
    valid = valid_points(pair)
    sides = ((pair.source_points, pair.source_size), (pair.target_points, pair.target_size))
    source, target = (
        torch.from_numpy(
            clamp(Frame.stretched(size, frame).from_original(points[valid]), frame, _MARGIN)
        ).float()
        for points, size in sides
    )
    return source, target
