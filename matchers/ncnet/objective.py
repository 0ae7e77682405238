"""NCNet's training: image pairs of one category should match better than pairs of two."""

from __future__ import annotations

from torch import Tensor


def best_probabilities(correlation: Tensor) -> Tensor:
    """Correlations (B, S, T) -> (B, T), for each target cell the probability of its best source cell."""
    return correlation.softmax(dim=1).amax(dim=1)
