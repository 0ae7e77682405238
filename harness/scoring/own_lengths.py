"""Lengths that a protocol's own threshold has on the pairs of a split, whatever the dataset's is."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from numbers import Real
from typing import Any

import numpy as np

from harness.errors import BenchError, UserError
from harness.frames import Frame, Size
from harness.isolation.guard import running_code_of
from harness.isolation.guarded import GuardedFunction, without_guard
from harness.isolation.origin import remember_origin
from harness.messages import one_line
from harness.scoring.protocols import frame_of
from harness.scoring.truth import Truth
from harness.specs import ProtocolSpec, TargetInFrame


@lru_cache(maxsize=32)
def own_lengths(truth: Truth, protocol: ProtocolSpec, fed: Size | None) -> np.ndarray:
    """Returns (P,) what the function of a protocol's threshold says of each pair of a split.

    NaN stands for a pair of whose target it says that there is no such length.

    Args:
        fed: size in pixels of the image the extractor was fed; None for lengths in original pixels, from
            which it is known which pairs have one.

    Raises:
        UserError: the function raised, or returned what is no length.
    """
    function = without_guard(protocol.threshold)
    lengths = np.empty(len(truth.pair_ids))
    # Behind the guard once for all pairs: what a call costs there is many times what most functions do.
    with _guard(protocol.threshold):
        for number, pair_id in enumerate(truth.pair_ids):
            size = Size(*map(int, truth.sizes[number]))
            frame = frame_of(protocol, size, fed) if fed else Frame.unchanged(size)
            lengths[number] = _length(protocol, function, pair_id, _target(truth, number, frame))
    lengths.setflags(write=False)
    return lengths


def _guard(function: object) -> AbstractContextManager[None]:
    return running_code_of(function.owner) if isinstance(function, GuardedFunction) else nullcontext()


def _target(truth: Truth, number: int, frame: Frame) -> TargetInFrame:
    points = frame.from_original(truth.points[truth.starts[number] : truth.starts[number + 1]])
    # The function has no other arrays of ours.
    points.setflags(write=False)
    width, height = np.ptp(frame.from_original(np.array([(0.0, 0.0), frame.original])), axis=0).tolist()
    box = truth.boxes[number]
    x1, y1, x2, y2 = frame.from_original(box.reshape(2, 2)).ravel().tolist()
    corners = None if np.isnan(box).any() else (x1, y1, x2, y2)
    return TargetInFrame(points, (width, height), corners, truth.threshold)


def _length(protocol: ProtocolSpec, function: Any, pair_id: str, target: TargetInFrame) -> float:
    """A pair's length, NaN for none. Raises `UserError` as `own_lengths` does."""
    try:
        length: object = function(target)
    except BenchError:
        raise
    except Exception as error:
        remember_origin(error, _owner_name(protocol.threshold))
        raise UserError(
            f"protocol '{protocol.name}': its threshold failed on pair {pair_id}: {one_line(error)}"
        ) from error
    if length is None:
        return math.nan
    if isinstance(length, Real) and not isinstance(length, bool):
        number = float(length)
        if math.isfinite(number) and number > 0:
            return number
    what = f"{length:g}" if isinstance(length, float) else f"{length!r:.40}".replace("\n", " ")
    raise UserError(
        f"protocol '{protocol.name}'{_plugin_of(protocol.threshold)}: its threshold is {what} on pair "
        f"{pair_id}; return a positive number of pixels, or None where the target has no such length"
    )


def _owner_name(function: object) -> str:
    return function.owner.name if isinstance(function, GuardedFunction) else ""


def _plugin_of(function: object) -> str:
    """` of plugin 'mine'`, as far as it is known."""
    name = _owner_name(function)
    return f" of plugin '{name}'" if name else ""
