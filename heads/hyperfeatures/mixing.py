"""The aggregation network, fed one timestep after another.

All features of a picture at once take 1.9 GB at true size: eleven timesteps of 10,560 channels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from heads.aggregation.network import AggregationNetwork


def add_timestep(
    network: AggregationNetwork, total: Tensor | None, maps: Sequence[Tensor], time: int, side: int
) -> Tensor:
    """Adds what one timestep has to the aggregated features, in the network's own order of summation.

    Args:
        total: (B, projection, side, side) of the timesteps before; None at the first one.
        maps: of each level (B, C, h, w), of any size.
        time: number of the timestep in the order of the network's weights.
        side: cells across and down to which maps are resized.
    """
    weights = network.mixing_weights.softmax(0)
    bottlenecks = network.bottleneck_layers
    for level, (bottleneck, features) in enumerate(zip(bottlenecks, maps, strict=True)):
        resized = F.interpolate(features.float(), size=(side, side), mode="bilinear", align_corners=False)
        part = weights[time * len(bottlenecks) + level] * bottleneck(resized)
        total = part if total is None else total + part
    assert total is not None
    return total
