"""What TransforMatcher makes of a pair: cosines of all levels, refined by a transformer of matches."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from harness.specs import FeatureMap, MakeContext, Matches
from matchers.backbones.checkpoints import read_checkpoint
from matchers.backbones.paired import doubled_lattice, role_levels
from matchers.transformatcher.network import MatchToMatch, load_head


class MatchTransformer:
    """Volumes of twice the maps' resolution (a `Matcher`), in single precision.

    With half of it the angles of its positions, which reach hundreds of thousands, would be random.
    """

    def __init__(self, head: MatchToMatch, context: MakeContext) -> None:
        self._head = head.eval().requires_grad_(False).to(context.device)

    @torch.inference_mode()
    def match(self, pairs: Sequence[tuple[FeatureMap, FeatureMap]]) -> list[Matches]:
        """See `harness.specs.Matcher`: (30, 30, 30, 30) for the published networks."""
        return [self._match(source, target) for source, target in pairs]

    def _match(self, source: FeatureMap, target: FeatureMap) -> Matches:
        first, second = role_levels(source.levels, target.levels, self._head.levels)
        volume = self._head(first, second)[0]
        return Matches(doubled_lattice(source), doubled_lattice(target), volume=volume)


def make_matcher(context: MakeContext, source: str) -> MatchTransformer:
    """Makes the matcher of the checkpoint at a weight source.

    Raises:
        UserError: the file is damaged, or another network's.
    """
    return MatchTransformer(load_head(read_checkpoint(context.weights[source])), context)
