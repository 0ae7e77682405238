"""Agreement of hyperfeatures' aggregation and reading with what the authors' own program returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from classic_vectors import Arrays, Outputs, compare, compute_once, tensors_below

from harness.frames import Frame, Size
from harness.specs import FeatureMap
from heads.aggregation.network import AggregationNetwork, AggregationShape
from heads.hyperfeatures.localizer import ArgmaxFrame
from heads.hyperfeatures.mixing import add_timestep
from matchers.backbones.checkpoints import load_tensors

LEVELS = (16, 24, 32)
GROUPS = 4
SIDE = 40
"""Pixels of the pictures that points lie in."""

STABLE_DIFFUSION_1_5 = (*[1280] * 6, *[640] * 3, *[320] * 3)


def compute_hyperfeatures(arrays: Arrays) -> Outputs:
    weights = tensors_below(arrays, "weights/")
    network = AggregationNetwork(AggregationShape.of(weights, GROUPS))
    load_tensors(network, weights, Path("vectors"))
    assert network.shape.channels == LEVELS
    features, total = torch.from_numpy(arrays["in/features"]), None
    for time, maps in enumerate(features.split(sum(LEVELS), dim=1)):
        total = add_timestep(network, total, maps.split(LEVELS, dim=1), time, features.shape[-1])
    assert total is not None
    # The network as a whole says the same.
    assert torch.allclose(network(features), total, atol=1e-6)
    frame = Frame.unchanged(Size(SIDE, SIDE))
    maps = [FeatureMap(torch.from_numpy(arrays[f"in/{role}"]), frame) for role in ("source", "target")]
    points = torch.from_numpy(arrays["in/source_points_yx"]).double().flip(1)
    located = ArgmaxFrame()(*maps, points).points
    return {"out/features": total, "out/target_points_yx": located.flip(1)}


def tolerance(name: str, largest: float) -> float:
    return 1e-3 if "points" in name else 1e-5 * largest


def check_hyperfeatures(folder: Path) -> None:
    arrays, outputs = compute_once(folder / "hyperfeatures.npz", compute_hyperfeatures)
    compare(arrays, outputs, tolerance)
    with torch.device("meta"):
        published = AggregationNetwork(AggregationShape(STABLE_DIFFUSION_1_5, 384, 96, scales=()))
    count = sum(parameter.numel() for parameter in published.parameters())
    assert count == int(arrays["true_size_parameters_sd15"])


CHECKS: Mapping[str, Callable[[Path], None]] = {"hyperfeatures": check_hyperfeatures}
