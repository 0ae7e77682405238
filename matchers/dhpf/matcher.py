"""DHPF's matcher: gates choose levels for the pair, which are correlated and weighed by Hough votes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from harness.frames import PatchGrid, Size
from harness.specs import FeatureMap, Lattice, Matches
from matchers.dhpf.checkpoint import read_learner
from matchers.dhpf.correlation import correlate_appearance, stack_levels
from matchers.dhpf.hough import HoughSpace
from matchers.dhpf.network import STRIDE, open_gates, taken_levels

LATTICE = PatchGrid(patch=0, stride=STRIDE)
"""Cell j's centre lies at STRIDE j pixels, as the authors' boxes have it."""


class DhpfMatcher:
    """Correlation of a pair (a `harness.specs.Matcher`).

    A map has the reduced levels (C_i, h_i, w_i) of its picture, and after them the levels' means (C_i),
    which the gates look at.

    Args:
        learner: the checkpoint.
        is_voting: whether the appearance is multiplied by the votes.

    Raises:
        UserError: the file is another network's, or damaged.
    """

    def __init__(self, learner: Path, device: str, is_voting: bool) -> None:
        self._learner = read_learner(learner).learner.to(device)
        self._is_voting = is_voting

    def match(self, pairs: Sequence[tuple[FeatureMap, FeatureMap]]) -> list[Matches]:
        """One volume for each pair: (60, 60, 60, 60) for pictures of 240 pixels.

        Memory beside the volume: the features of all taken levels at the volume's size, twice (at most 118 MB
        for ResNet-101 at 240 pixels), and a few rows of similarities.
        """
        return [self._match(source, target) for source, target in pairs]

    def open_gates(self, source: FeatureMap, target: FeatureMap) -> torch.Tensor:
        """Says of each level whether the pair opens its gate."""
        count = len(self._learner.widths.channels)
        means = ([mean[None] for mean in image.levels[count:]] for image in (source, target))
        return open_gates(self._learner.gate_scores(*means)[0])

    def _match(self, source: FeatureMap, target: FeatureMap) -> Matches:
        numbers = taken_levels(self.open_gates(source, target))
        side, height, width = source.frame.size.width, *source.levels[0].shape[1:]
        stacked = [
            stack_levels([image.levels[number] for number in numbers], (height, width))
            for image in (source, target)
        ]
        volume = correlate_appearance(*stacked)
        if self._is_voting:
            HoughSpace(side, width, volume).weigh(volume)
        cells = Size(width, height)
        return Matches(
            source=Lattice(source.frame, cells, LATTICE),
            target=Lattice(target.frame, cells, LATTICE),
            volume=volume.view(height, width, height, width),
        )
