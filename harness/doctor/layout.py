"""Finds feature maps that lie the wrong way round.

Where a picture is changed, its map must change. Maps that lie another way change where a mirror or a turn
puts the place; a map that is matched with itself hides that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from harness.frames import GridConvention, cells_to_pixels
from harness.specs import FeatureMap

if TYPE_CHECKING:
    import torch

Points = np.ndarray


RIGHT = 60.0
"""PCK@0.1 of the places that were changed, from which on a map lies as it should."""

CLEARLY = 30.0
"""The least gain by another layout that says that the map lies that way."""

RESHAPED = (0, 0, 0)
"""Stands for an order of axes that no permutation mends."""

_AXES = {
    (0, 1, 2): "",
    (0, 2, 1): "h and w were swapped",
    (2, 0, 1): "it were turned from (h, w, C) to (C, h, w)",
    (2, 1, 0): "it were turned from (w, h, C) to (C, h, w)",
    RESHAPED: "(h, w, C) were permuted to (C, h, w) and not reshaped",
}
"""Order of a map's axes that would be right -> how to say so."""

_FLIPS = {
    (): "",
    (2,): "it were mirrored left to right",
    (1,): "it were mirrored top to bottom",
    (1, 2): "it were turned by 180 degrees",
}
"""Axes along which a map would have to be mirrored -> how to say so."""


@dataclass(frozen=True)
class Layout:
    """The way in which a map seems to lie.

    Attributes:
        pck: PCK@0.1 of the changed places on the map as it is.
        best: PCK@0.1 under the best of the other layouts, offsets and scales.
        remedy: what would have to be done to the map for that; empty where it lies as it should, or nothing
            can be said.
        has_channels_last: whether the channels are its last axis.
        is_blind: whether the map does not follow from the picture at all.
    """

    pck: float = 0.0
    best: float = 0.0
    remedy: str = ""
    has_channels_last: bool = False
    is_blind: bool = False


def find_layout(
    plain: FeatureMap,
    changed: Sequence[FeatureMap],
    places: Sequence[tuple[float, float]],
    grid: GridConvention,
) -> Layout:
    """Compares the places where a picture was changed with those where its map changed.

    Args:
        plain: map of the picture without a change.
        changed: maps of the picture with one change each.
        places: their centres in shares of the picture's width and height.
        grid: convention where the map does not declare one.
    """
    import torch

    differences = torch.stack([(one.data.double() - plain.data.double()) ** 2 for one in changed]).cpu()
    if not differences.any():
        return Layout(is_blind=True)
    truth = np.array(places)
    results = {}
    for axes, flips in product(_AXES, _FLIPS):
        seen = _places(differences, plain, axes, flips, grid)
        results[axes, flips] = _pck(truth, seen, plain), seen
    plainly = (0, 1, 2), ()
    pck, seen = results[plainly]
    shifted, scaled = _shifted(truth, seen), _scaled(truth, seen)
    if pck >= RIGHT:
        # Small maps are seldom met exactly.
        is_off = min(plain.cells) >= 8 and scaled.is_far and _error(truth, scaled.seen) < 0.02
        return Layout(pck, 100.0, scaled.remedy) if is_off else Layout(pck, pck)
    (axes, flips), (best, _) = max(results.items(), key=lambda item: item[1][0])
    if best >= max(RIGHT, pck + CLEARLY):
        remedy = " and ".join(filter(None, (_AXES[axes], _FLIPS[flips])))
        return Layout(pck, best, remedy, has_channels_last=axes[0] == 2 or axes == RESHAPED)
    moved = max((shifted, scaled), key=lambda fit: _pck(truth, fit.seen, plain))
    best = _pck(truth, moved.seen, plain)
    if moved.remedy and best >= max(RIGHT, pck + CLEARLY):
        return Layout(pck, best, moved.remedy)
    return Layout(pck, pck)


def _places(
    differences: torch.Tensor,
    plain: FeatureMap,
    axes: tuple[int, int, int],
    flips: tuple[int, ...],
    grid: GridConvention,
) -> Points:
    """(K, 2) shares of the picture's width and height where K maps changed most, under a layout."""
    import torch

    if axes == RESHAPED:
        channels, height, width = differences.shape[1:]
        moved = differences.reshape(-1, height, width, channels).sum(3)
    else:
        moved = differences.permute(0, *(axis + 1 for axis in axes)).sum(1)
    # Axes of (K, h, w) are those of (C, h, w).
    moved = moved.flip(flips) if flips else moved
    # What changes with every picture, such as noise, says nothing of a place.
    moved = (moved - moved.median(0).values).clamp(min=0)
    height, width = moved.shape[1:]
    stand_in = replace(plain, data=torch.empty(1, height, width))
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    centres = []
    for energy in moved:
        # The middle of the cells that changed most: a change seldom lies in one cell.
        weights = energy * (energy > energy.max() / 2)
        total = float(weights.sum()) or 1.0
        centres.append((float((weights * x).sum()) / total, float((weights * y).sum()) / total))
    convention = plain.grid or grid
    pixels = cells_to_pixels(np.array(centres), plain.frame.size, stand_in.cells, convention)
    shares: Points = plain.frame.to_original(pixels) / np.array(plain.frame.original)
    return shares


def _pck(truth: Points, seen: Points, plain: FeatureMap) -> float:
    """Percent of places that are met within 0.1 of the longer side, and within a cell of a coarse map."""
    size = np.array(plain.frame.original)
    errors = np.linalg.norm((seen - truth) * size, axis=1)
    cell = max(size / np.array(plain.cells)) / 2 if min(plain.cells) > 3 else 0.0
    return float(100 * (errors <= max(0.1 * max(size), cell)).mean())


def _error(truth: Points, seen: Points) -> float:
    """Mean distance, in shares of the picture's sides."""
    return float(np.linalg.norm(seen - truth, axis=1).mean())


class _Fit(NamedTuple):
    """A fault that changed places may have in common.

    Attributes:
        remedy: how to say what would be right; empty where nothing fits.
        seen: the places without the fault.
        is_far: whether the fault is more than a matter of how cells lie on pixels.
    """

    remedy: str
    seen: Points
    is_far: bool = True


def _shifted(truth: Points, seen: Points) -> _Fit:
    """A shift, around the edges."""
    # Angles, since what leaves a map on one side comes in on the other.
    angles = np.exp(2j * np.pi * (seen - truth))
    shift = np.angle(angles.mean(axis=0)) / (2 * np.pi)
    parts = []
    for share, name in zip(shift, ("width", "height"), strict=True):
        if abs(share) > 0.04:
            parts.append(f"{abs(share):.0%} of its {name}")
    return _Fit(f"it were moved by {' and '.join(parts)}" if parts else "", (seen - shift) % 1)


def _scaled(truth: Points, seen: Points) -> _Fit:
    """A scale and an offset along each axis, as where the frame says something else than the map."""
    moved, parts, is_far = np.empty_like(seen), [], False
    for axis, name in enumerate(("width", "height")):
        scale, offset = np.polyfit(truth[:, axis], seen[:, axis], 1)
        # Nearly all at one place, which no scale explains.
        if scale < 0.3:
            return _Fit("", seen, False)
        moved[:, axis] = (seen[:, axis] - offset) / scale
        is_far = is_far or abs(scale - 1) > 0.2
        parts.append(f"from {offset:.0%} to {offset + scale:.0%} of its {name}")
    remedy = f"its frame said that the image lies {' and '.join(parts)}"
    return _Fit(remedy, moved, is_far)
