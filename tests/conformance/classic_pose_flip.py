"""Agreement of the pose flip with what GeoAware-SC's own program returns."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from harness.frames import Frame, Size
from harness.localizers.on_grid import WindowSoftmax
from harness.specs import FeatureMap
from heads.pose_flip.formulas import (
    masked_distance,
    merge_predictions,
    mirror_points,
    mutual_distance,
    partner_order,
    replaceable,
    visible_order,
)

Arrays = Mapping[str, np.ndarray]

SIDE = 840
MASK_SIDE = 960

PAIRS = {
    "cat": ((0, 1), (2, 3), (4, 5), (6, 7), (9, 10), (11, 12)),
    "bus": (
        *((0, 1), (2, 3), (5, 6), (14, 15), (16, 17), (24, 25), (26, 27)),
        *((left, left + 10) for left in range(8, 14)),
    ),
}
"""Keypoints that take each other's place in a mirrored picture."""


def unit(arrays: Arrays, name: str) -> Tensor:
    return F.normalize(torch.from_numpy(arrays[f"flip/in/{name}"].astype(np.float32)), dim=0)


def box_mask(box: np.ndarray) -> Tensor:
    top, left, bottom, right = box.tolist()
    mask = torch.zeros(MASK_SIDE, MASK_SIDE, dtype=torch.bool)
    mask[top:bottom, left:right] = True
    return mask


def as_map(features: Tensor) -> FeatureMap:
    return FeatureMap(features, Frame.stretched(Size(SIDE, SIDE), Size(SIDE, SIDE)), "patch-centre")


def distances(arrays: Arrays) -> Iterator[tuple[str, Tensor]]:
    target = unit(arrays, "target")
    source_mask, target_mask = map(box_mask, arrays["flip/in/mask_boxes_tlbr"])
    for end, name, mask in (("", "source", source_mask), ("_flipped", "source_flipped", source_mask.flip(1))):
        source = unit(arrays, name)
        yield f"flip/out/distance{end}", masked_distance(source, target, mask, target_mask)
        yield f"flip/out/mutual_distance{end}", mutual_distance(source, target)


def of_category(arrays: Arrays, category: str) -> Iterator[tuple[str, Tensor]]:
    source, target = (
        torch.from_numpy(arrays[f"flip/{category}/in/{side}_points"]) for side in ("source", "target")
    )
    names = [str(number) for number in range(len(source))]
    partners = {str(a): str(b) for pair in PAIRS[category] for a, b in (pair, pair[::-1])}
    order = partner_order(names, partners)
    is_visible = (source[:, 2] > 0) & (target[:, 2] > 0)
    swapped = visible_order(order, is_visible)
    queries = mirror_points(source[:, :2], SIDE)[swapped]
    localizer, target_map = WindowSoftmax(window=5), as_map(unit(arrays, "target"))
    plain = localizer(as_map(unit(arrays, "source")), target_map, source[:, :2].double()).points
    flipped = localizer(as_map(unit(arrays, "source_flipped")), target_map, queries.double()).points
    is_replaced = replaceable(order, is_visible)
    yield "permutation_all", torch.tensor(order)
    yield "permutation_visible", torch.tensor(swapped)
    yield "source_points_flipped", torch.cat([queries, source[swapped, 2:]], dim=1)
    yield "plain", plain
    yield "flipped", flipped
    yield "flip_wins", merge_predictions(plain, flipped, is_replaced)
    yield "plain_wins", merge_predictions(plain, flipped, torch.zeros_like(is_replaced))


_MEMORY: dict[str, dict[str, Tensor]] = {}
"""Hash of what goes in -> what comes out, since most calls change an array that comes out."""


def compute(arrays: Arrays) -> dict[str, Tensor]:
    digest = hashlib.sha256()
    for key, values in arrays.items():
        if "/in/" in key:
            digest.update(key.encode() + values.tobytes())
    if digest.hexdigest() not in _MEMORY:
        results = dict(distances(arrays))
        for category in PAIRS:
            for name, result in of_category(arrays, category):
                results[f"flip/{category}/out/{name}"] = result
        _MEMORY.clear()
        _MEMORY[digest.hexdigest()] = results
    return _MEMORY[digest.hexdigest()]


def check(vectors: Path) -> None:
    with np.load(vectors / "geoaware.npz") as file:
        arrays = {key: file[key] for key in file.files if key.startswith("flip/")}
    results = compute(arrays)
    expected = {key: values for key, values in arrays.items() if "/out/" in key}
    assert expected.keys() == results.keys()
    for key, values in expected.items():
        result = results[key].numpy()
        assert result.shape == values.shape, key
        tolerance = 2e-3 if values.ndim == 2 else 1e-5 * np.abs(values).max()
        if values.dtype.kind == "i":
            tolerance = 0
        error = np.abs(result - values).max()
        assert error <= tolerance, f"{key}: {error} > {tolerance}"


CHECKS: Mapping[str, Callable[[Path], None]] = {"geoaware_pose_flip": check}
