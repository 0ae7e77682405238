"""The points of the pairs of a step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from harness.frames import Frame, Size, clamp
from harness.scoring.protocols import SD4MATCH
from harness.specs import ImagePair, valid_points

_MARGIN = SD4MATCH.clamp or 0.0


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
