"""What CHM makes of a pair: the correlation at all pairs of scales, and the votes on it."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from harness.specs import FeatureMap, MakeContext, Matches
from matchers.backbones.checkpoints import read_checkpoint
from matchers.backbones.paired import doubled_lattice, role_levels
from matchers.chm.network import FACTORS, ChmLearner, load_learner


class ChmMatcher:
    """Volumes of twice the maps' resolution (a `Matcher`), in single precision."""

    def __init__(self, learner: ChmLearner, context: MakeContext) -> None:
        self._learner = learner.eval().requires_grad_(False).to(context.device)

    @torch.inference_mode()
    def match(self, pairs: Sequence[tuple[FeatureMap, FeatureMap]]) -> list[Matches]:
        """See `harness.specs.Matcher`: (30, 30, 30, 30) for the published networks."""
        return [self._match(source, target) for source, target in pairs]

    def _match(self, source: FeatureMap, target: FeatureMap) -> Matches:
        first, second = role_levels(source.levels, target.levels, len(FACTORS))
        cells, target_cells = source.cells, target.cells
        volume = self._learner(
            first, second, (cells.height, cells.width), (target_cells.height, target_cells.width)
        )
        return Matches(doubled_lattice(source), doubled_lattice(target), volume=volume[0])


def make_matcher(context: MakeContext, source: str) -> ChmMatcher:
    """Makes the matcher of the checkpoint at a weight source.

    Raises:
        UserError: the file is damaged, or another network's.
    """
    return ChmMatcher(load_learner(read_checkpoint(context.weights[source])), context)
