"""Rules by which the vectors of the classical matchers' whole networks get weights, pictures and points."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor


def weights_by_rule(
    shapes: Mapping[str, tuple[int, ...]], seed: int, skip: Callable[[str], bool] = lambda _: False
) -> dict[str, Tensor]:
    """Float32 tensors of a network, each drawn from its own seed.

    Args:
        shapes: name -> shape of every tensor. `num_batches_tracked` is not counted, and absent from the
            result.
        skip: says of a name that its tensor is counted and not made.
    """
    names = sorted(name for name in shapes if "num_batches_tracked" not in name)
    return {
        name: _make_tensor(name, tuple(int(side) for side in shapes[name]), seed, number)
        for number, name in enumerate(names)
        if not skip(name)
    }


def _make_tensor(name: str, shape: tuple[int, ...], seed: int, number: int) -> Tensor:
    last = name.rpartition(".")[2]
    if last in {"x_normal", "y_normal"}:
        return torch.from_numpy(np.linspace(-1, 1, shape[0]).astype(np.float32))
    if last == "freqs":
        return torch.tensor([math.pi, 5 * math.pi])
    random = np.random.RandomState((seed * 1000 + number) % 2**31)
    normal = random.standard_normal(shape)
    if "chm" in name:
        values = 0.3 * normal
    elif last == "running_var":
        values = 0.5 + random.random_sample(shape)
    elif last == "running_mean":
        values = 0.2 * normal
    elif name.endswith("bias"):
        values = 0.1 * normal
    elif len(shape) <= 1:
        values = (0.5 + 0.5 * random.random_sample(shape)) * (0.3 if ".bn3." in name else 1)
    else:
        values = normal * math.sqrt(2 / np.prod(shape[1:]))
    if "NeighConsensus" in name:
        values = np.abs(values)
    return torch.from_numpy(np.asarray(values, dtype=np.float64).astype(np.float32))


def pictures_by_rule(seed: int, side: int) -> tuple[Tensor, Tensor]:
    """Source and target (1, 3, side, side), normalised already: noise of 12 x 12, resized smoothly."""
    random = np.random.RandomState(seed)
    noise = [torch.from_numpy(random.standard_normal((1, 3, 12, 12)).astype(np.float32)) for _ in range(2)]
    source, target = (
        torch.nn.functional.interpolate(part, (side, side), mode="bilinear", align_corners=True)
        for part in noise
    )
    return source, target


def points_by_rule(seed: int, low: float, high: float) -> Tensor:
    """(9, 2) points, float64."""
    return torch.from_numpy(np.random.RandomState(seed + 1).uniform(low, high, (9, 2)))
