"""CATs' correlation of a pair, refined."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from harness.specs import FeatureMap, Lattice, MakeContext, Matches
from matchers.cats.extractor import backbone_of
from matchers.cats.files import load_cats, share_network
from matchers.formulas import filter_mutually


class CatsMatcher:
    """A volume of all cells of both pictures, refined by the transformer (a `Matcher`).

    The authors' network looks up target points, so that its target is the harness's source.

    Args:
        source: name of the weight source.

    Raises:
        UserError: the file is not this network's.
    """

    def __init__(self, context: MakeContext, source: str) -> None:
        self._network = share_network(context, source, load_cats, backbone_of)

    @torch.inference_mode()
    def match(self, pairs: Sequence[tuple[FeatureMap, FeatureMap]]) -> list[Matches]:
        """See `harness.specs.Matcher`; volumes of 256 KB (16^4 numbers) for the published networks."""
        return [self._match(source, target) for source, target in pairs]

    def _match(self, source: FeatureMap, target: FeatureMap) -> Matches:
        their_source, their_target = self._levels(target), self._levels(source)
        cosines = torch.stack(
            [goal.T @ start for goal, start in zip(their_source, their_target, strict=True)]
        )
        mutual = filter_mutually(cosines, zero_maximum=True)
        refined = self._network(mutual[None], target.levels[0][None], source.levels[0][None])[0]
        start, goal = (Lattice(each.frame, each.cells, each.grid) for each in (source, target))
        shape = (start.cells.height, start.cells.width, goal.cells.height, goal.cells.width)
        return Matches(start, goal, volume=refined.T.reshape(shape).contiguous())

    def _levels(self, feature_map: FeatureMap) -> list[Tensor]:
        """Features (C_i, cells) of each level, of length 1."""
        return list(feature_map.data.flatten(1).split(list(self._network.shape.channels)))
