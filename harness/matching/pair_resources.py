"""Two images of the user's own in the place of a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from harness.datasets.images import ImageFile
from harness.datasets.splits import SplitIndex
from harness.environment import device_name
from harness.frames import Size
from harness.matching.request import MatchRequest
from harness.plugins.host import Host
from harness.running.resources import Resources, RunOptions
from harness.specs import ImagePair
from harness.sweep import DatasetChoice
from harness.weights.choice import WeightChoice


def pair_as_split(files: Sequence[ImageFile], sizes: Sequence[Size], category: str, split: str) -> SplitIndex:
    """Two images as a split of one pair.

    It has one point, which nothing reads: a pair without any would be left out.
    """
    source, target = files
    source_size, target_size = sizes
    corner = np.zeros((1, 2))
    pair = ImagePair(
        pair_id=f"{source.name} {target.name}",
        source=source,
        target=target,
        source_size=source_size,
        target_size=target_size,
        category=category,
        source_points=corner,
        target_points=corner,
        keypoint_ids=("corner",),
    )
    return SplitIndex(
        label="match",
        split=split,
        pair_ids=(pair.pair_id,),
        pairs={pair.pair_id: pair},
        broken={},
        threshold="image",
    )


class PairResources(Resources):
    """Resources whose only dataset is one pair."""

    def __init__(self, host: Host, request: MatchRequest, index: SplitIndex) -> None:
        options = RunOptions(
            data_root=Path(),
            out=Path(),
            criteria=(),
            device=device_name(request.device),
            precision=request.precision,
            weights=WeightChoice.parse(host, request.weights, request.weights_root),
        )
        super().__init__(host, options)
        self._index = index

    def split(self, choice: DatasetChoice, split: str) -> SplitIndex:
        """The pair, whichever dataset is asked for."""
        return self._index
