"""Vectors of the classical matchers: read, computed once for the same inputs, compared array by array."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

Arrays = Mapping[str, np.ndarray]
Outputs = dict[str, Tensor]

_COMPUTED: dict[str, Outputs] = {}


def is_output(name: str) -> bool:
    return "/out/" in f"/{name}" or name.rpartition("/")[2].startswith("parameters")


def compute_once(path: Path, compute: Callable[[Arrays], Outputs]) -> tuple[Arrays, Outputs]:
    """The arrays of a file, and what our code makes of those that go in."""
    with np.load(path) as file:
        arrays = dict(file)
    digest = hashlib.sha256(f"{compute.__module__}.{compute.__name__}".encode())
    for name in sorted(arrays):
        if not is_output(name):
            digest.update(name.encode() + str(arrays[name].shape).encode() + arrays[name].tobytes())
    key = digest.hexdigest()
    if key not in _COMPUTED:
        with torch.inference_mode():
            _COMPUTED[key] = compute(arrays)
    return arrays, _COMPUTED[key]


def compare(arrays: Arrays, outputs: Outputs, tolerance: Callable[[str, float], float]) -> None:
    """Raises AssertionError where an array that comes out is not ours, or ours is not there.

    Args:
        tolerance: (name, largest absolute value) -> absolute tolerance.
    """
    assert outputs.keys() == {name for name in arrays if is_output(name)}
    for name, result in outputs.items():
        expected = arrays[name]
        assert tuple(result.shape) == expected.shape, name
        limit = tolerance(name, float(np.abs(expected).max()))
        np.testing.assert_allclose(result.double().numpy(), expected, rtol=0, atol=limit, err_msg=name)


def tensors_below(arrays: Arrays, prefix: str) -> dict[str, Tensor]:
    """Arrays whose names begin so, without that beginning."""
    return {
        name.removeprefix(prefix): torch.from_numpy(value)
        for name, value in arrays.items()
        if name.startswith(prefix)
    }
