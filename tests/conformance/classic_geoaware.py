"""GeoAware-SC's aggregation network against what the authors' code returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from classic_vectors import Arrays, Outputs, compare, compute_once, tensors_below

from harness.errors import UserError
from heads.aggregation.network import AggregationNetwork, AggregationShape
from matchers.backbones.checkpoints import load_tensors

GROUPS = 4
TRUE_CHANNELS = (640, 1280, 1280, 768)


def compute_head(arrays: Arrays) -> Outputs:
    weights = tensors_below(arrays, "head/weights/")
    network = AggregationNetwork(AggregationShape.of(weights, GROUPS))
    try:
        load_tensors(network, weights, Path("vectors"))
    except UserError as error:
        raise AssertionError(str(error)) from error
    true_size = AggregationNetwork(AggregationShape(TRUE_CHANNELS, projection=768, width=192))
    count = sum(parameter.numel() for parameter in true_size.parameters())
    return {
        "head/out/features": network.eval()(torch.from_numpy(arrays["head/in/features"])),
        "head/parameters_at_true_size": torch.tensor(count),
    }


def check_head(folder: Path) -> None:
    arrays, outputs = compute_once(folder / "geoaware.npz", compute_head)
    head = {name: value for name, value in arrays.items() if name.startswith("head/")}
    compare(head, outputs, lambda name, largest: 0 if "parameters" in name else 1e-5 * largest)


CHECKS: Mapping[str, Callable[[Path], None]] = {"geoaware_head": check_head}
