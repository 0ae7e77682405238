"""SCorrSAN's correlation of a pair, on a fine grid."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from harness.errors import UserError
from harness.frames import Size
from harness.specs import FeatureMap, Lattice, MakeContext, Matches
from matchers.cats.files import share_network
from matchers.scorrsan.extractor import backbone_of
from matchers.scorrsan.files import load_scorrsan
from matchers.scorrsan.network import enlarge, filter_cosines


class ScorrsanMatcher:
    """Mutually filtered cosines of all cells of both pictures, enlarged (a `Matcher`).

    Nothing in it depends on which picture is which, so that roles need not be swapped.

    Args:
        source: name of the weight source.

    Raises:
        UserError: the file is not this network's, or the grid has no cells.
    """

    def __init__(self, context: MakeContext, source: str) -> None:
        network = share_network(context, source, load_scorrsan, backbone_of)
        grid = context.params.get("grid")
        self._grid = network.shape.grid if grid is None else int(str(grid))
        if self._grid < 1:
            raise UserError(f"scorrsan: grid is {self._grid}; it must be a number of cells, from 1")

    @torch.inference_mode()
    def match(self, pairs: Sequence[tuple[FeatureMap, FeatureMap]]) -> list[Matches]:
        """See `harness.specs.Matcher`; volumes of 67 MB (64^4 numbers) for the published networks."""
        return [self._match(source, target) for source, target in pairs]

    def _match(self, source: FeatureMap, target: FeatureMap) -> Matches:
        volume = enlarge(filter_cosines(source.data[None], target.data[None]), self._grid)[0]
        cells = Size(self._grid, self._grid)
        start, goal = (Lattice(each.frame, cells, each.grid) for each in (source, target))
        return Matches(start, goal, volume=volume)
