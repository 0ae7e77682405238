"""Differences between feature maps in half and in single precision."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from harness.localizers.similarity import best_positions
from harness.running.predict import make_pair_features
from harness.running.resolve import ResolvedCell
from harness.specs import FeatureMap
from harness.specs.lengths import unit_features

MAP_PAIRS = 4
"""Pairs whose maps are compared."""

Maps = list[tuple[FeatureMap, FeatureMap]]


@dataclass(frozen=True)
class MapDifference:
    """Distance of maps in half precision from those in single.

    Attributes:
        features: norm of the difference over the norm, of all maps together; None where maps have a basis of
            their own (PCA).
        cosines: root mean square difference of the cosines of all source cells with all target cells, over
            their own spread.
        moved: share of source cells whose most similar target cell is another one.
        distances: of those, in cells.
    """

    features: float | None
    cosines: float
    moved: float
    distances: np.ndarray


def map_difference(full: Maps, half: Maps, same_basis: bool = True) -> MapDifference:
    """Compares the maps of some pairs."""
    off = norm = wrong = spread = 0.0
    distances = []
    for full_pair, half_pair in zip(full, half, strict=True):
        for left, right in zip(full_pair, half_pair, strict=True):
            difference = left.data.double() - right.data.double()
            off += float(difference.square().sum())
            norm += float(left.data.double().square().sum())
        expected, measured = _cosines(full_pair), _cosines(half_pair)
        # Cosines vary little in some maps: their spread is the scale of what an error can change.
        wrong += float((expected - measured).square().mean())
        spread += float(expected.var(dim=(1, 2)).mean())
        steps = best_positions(expected)[0] - best_positions(measured)[0]
        distances.append(steps.norm(dim=1).numpy())
    together = np.concatenate(distances)
    jumps = together[together > 0]
    return MapDifference(
        (off / norm) ** 0.5 if same_basis else None,
        (wrong / spread) ** 0.5,
        len(jumps) / len(together),
        jumps,
    )


def _cosines(pair: tuple[FeatureMap, FeatureMap]) -> torch.Tensor:
    """(source cells, h, w) cosines with the target's cells, in float64."""
    # In float64, so that the comparison adds no rounding of its own.
    source = unit_features(pair[0].data.double(), 0)
    target = unit_features(pair[1].data.double(), 0)
    cosines = source.flatten(1).T @ target.flatten(1)
    return cosines.unflatten(1, target.shape[1:])


def maps_of(prepared: ResolvedCell, pairs: int = MAP_PAIRS) -> Maps:
    """The feature maps of a cell's first pairs."""
    features = make_pair_features(prepared)
    index = prepared.index
    with torch.inference_mode():
        return [features(index.pairs[pair_id]) for pair_id in index.pair_ids[:pairs]]
