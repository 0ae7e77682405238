"""SimSC's scores of a pair: cosines over the learned temperature."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from harness.errors import UserError
from harness.specs import FeatureMap, Lattice, MakeContext, Matches
from matchers.simsc.files import load_temperature
from matchers.simsc.names import SOURCE
from matchers.simsc.network import RANGE, score_cells


class SimScMatcher:
    """Scores of all cells, ready for a softmax at temperature 1 (a `Matcher`).

    Parameter: `temperature`, a number in place of the learned one.

    Raises:
        UserError: the file is not this network's, or the number is out of range.
    """

    def __init__(self, context: MakeContext) -> None:
        self._temperature = load_temperature(context.weights[SOURCE]).to(context.device)
        chosen = context.params.get("temperature")
        self._chosen = None if chosen is None else float(chosen)
        if self._chosen is not None and not RANGE[0] <= self._chosen <= RANGE[1]:
            raise UserError(f"temperature={chosen}: not from {RANGE[0]} to {RANGE[1]:g}")

    @torch.inference_mode()
    def match(self, pairs: Sequence[tuple[FeatureMap, FeatureMap]]) -> list[Matches]:
        """See `harness.specs.Matcher`; 1.3 MB a pair for 24 x 24 cells."""
        return [self._match(source, target) for source, target in pairs]

    def _match(self, source: FeatureMap, target: FeatureMap) -> Matches:
        scores = score_cells(self._replaced, source.data[None], target.data[None])[0]
        start, goal = (Lattice(each.frame, each.cells, each.grid) for each in (source, target))
        return Matches(start, goal, volume=scores.contiguous())

    def _replaced(self, cosines: Tensor) -> Tensor:
        """The temperature of cosines: the learned one, unless a user chose another."""
        if self._chosen is None:
            learned: Tensor = self._temperature(cosines)
            return learned
        return cosines.new_full((1, 1, 1, 1, 1), self._chosen)
