"""NCNet's matcher: correlation, and consensus of neighbouring matches."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from baselines.networks.loading import DTYPES
from harness.specs import FeatureMap, Lattice, MakeContext, Matches
from matchers.backbones.checkpoints import read_checkpoint
from matchers.convolution4d import swap_sides
from matchers.formulas import correlate
from matchers.ncnet.network import NCNet, NeighConsensus, refine


class ConsensusMatcher:
    """Correlations refined by NCNet's consensus (a `Matcher`).

    The network looks up points of its target: that is the source here.
    """

    def __init__(self, consensus: NeighConsensus, context: MakeContext) -> None:
        self._dtype = DTYPES[context.precision]
        self._consensus = consensus.eval().requires_grad_(False).to(context.device, self._dtype)

    def match(self, pairs: Sequence[tuple[FeatureMap, FeatureMap]]) -> list[Matches]:
        """Volumes (h, w, h', w') of each pair."""
        return [self._match(source, target) for source, target in pairs]

    @torch.inference_mode()
    def _match(self, source: FeatureMap, target: FeatureMap) -> Matches:
        features = [feature_map.data[None].to(self._dtype) for feature_map in (target, source)]
        volume = self.scores(refine(correlate(*features), self._consensus).float())
        return Matches(_lattice(source), _lattice(target), volume=swap_sides(volume)[0].contiguous())

    def scores(self, correlation: Tensor) -> Tensor:
        """Refined correlations (1, h, w, h', w') in the authors' direction -> what is read of them."""
        return correlation


def _lattice(feature_map: FeatureMap) -> Lattice:
    return Lattice(feature_map.frame, feature_map.cells, feature_map.grid)


def make_matcher(context: MakeContext, source: str) -> ConsensusMatcher:
    """Makes the matcher of an NCNet's checkpoint.

    Args:
        source: name of the weight source.

    Raises:
        UserError: the file is damaged, or another network's.
    """
    path = context.weights[source]
    return ConsensusMatcher(NCNet.load(read_checkpoint(path).tensors, path).NeighConsensus, context)
