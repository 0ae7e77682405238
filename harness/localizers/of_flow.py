"""The position that a flow names for a point."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from harness.frames import GridConvention
from harness.localizers.matches import flow_at, matches_grid
from harness.localizers.similarity import sample
from harness.specs import FeatureMap, Located, Matches

GRID: GridConvention = "half-pixel"
"""How cells lie on the frame's pixels where a flow does not declare it, as flows are usually resized."""


@dataclass(frozen=True)
class OfFlow:
    """A flow sampled bilinearly at the point itself. The score is the flow's confidence, 0 without one."""

    def __call__(self, source: FeatureMap, target: FeatureMap, points: Tensor) -> Located:
        """Raises `TypeError`: feature maps hold no flow."""
        raise TypeError("localizer 'flow' reads matches, and is given feature maps")

    def read(self, matches: Matches, points: Tensor) -> Located:
        """See `harness.specs.MatchesReader`."""
        positions = matches_grid(matches, "source", GRID).positions(points)
        found = flow_at(matches, positions)
        score = torch.zeros_like(found[:, 0])
        if matches.confidence is not None:
            score = sample(matches.confidence[None].double(), positions)[:, 0]
        return Located(matches_grid(matches, "target", GRID).points(found), score)
