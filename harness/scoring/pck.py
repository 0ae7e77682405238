"""Percentage of correct keypoints: pure functions from points to relative errors to fractions.

A *relative error* is a prediction's distance from the truth over the pair's threshold length, both in the
protocol's frame. A point is correct at alpha where its relative error is at most (or below) alpha, so one
array of relative errors answers for every alpha.
"""

from __future__ import annotations

import numpy as np

from harness.datasets.splits import Target
from harness.errors import DataError
from harness.frames import Frame, Size, clamp, padded_content
from harness.scoring.protocols import frame_of
from harness.specs import ProtocolSpec, Threshold


def threshold_length(kind: Threshold, target: Target, frame: Frame) -> float:
    """The length that alpha multiplies, in pixels of `frame`.

    `box`: the longer side of the target's box. `image`: the longer side of the target image (of its content
    where the frame is padded). `points`: the larger extent of the target's finite points, before any
    clamping; rows that stand for absent points must not widen it (five published evaluators let them; on
    PF-WILLOW that raises the mean threshold from 0.684 to 0.844 of the image side).

    Raises:
        DataError: if the dataset has no box, or the length is not positive.
    """
    if kind == "box":
        if target.box is None:
            raise DataError(
                "no bounding box of the target; add one or choose another threshold (image, points)"
            )
        corners = np.array(target.box, dtype=np.float64).reshape(2, 2)
    elif kind == "image":
        corners = np.array([(0, 0), target.size], dtype=np.float64)
    else:
        corners = target.points[np.isfinite(target.points).all(axis=1)]
    # Mapped before it is measured: a stretched frame changes which side is the longer one.
    extent = np.ptp(frame.from_original(corners), axis=0) if len(corners) else np.zeros(2)
    length = float(extent.max())
    # Not `<= 0`: a box that is not a number must be refused, too.
    if not length > 0:
        raise DataError(
            f"the threshold length ({kind}) of the target is {length:g} pixels; it must be positive"
        )
    return length


def target_in_frame(protocol: ProtocolSpec, target: Target, frame: Frame) -> np.ndarray:
    """Returns (N, 2) true points in the protocol's frame, clamped as the protocol says."""
    return _true_in_frame(protocol, target.points, frame)


def _true_in_frame(protocol: ProtocolSpec, true: np.ndarray, frame: Frame) -> np.ndarray:
    points = frame.from_original(np.trunc(true) if protocol.whole_pixels else true)
    if protocol.whole_pixels:
        # A factor such as 1.6 is not exact: 480 pixels must not become 479.
        points = np.trunc(points + np.copysign(1e-6, points))
    if protocol.clamp is None:
        return points
    if protocol.frame != "padded":
        return clamp(points, frame.size, protocol.clamp)
    # Into the picture, not into its margins.
    content = padded_content(frame.original, max(frame.size))
    return clamp(points - frame.offset, content, protocol.clamp) + frame.offset


def relative_errors(
    protocol: ProtocolSpec,
    kind: Threshold,
    target: Target,
    fed: Size,
    predicted: np.ndarray,
) -> np.ndarray:
    """Returns (N,) the distance of each prediction from the truth, over the threshold length.

    Args:
        fed: size in pixels of the image the extractor was fed: the frame of a `stretched` protocol.
        predicted: (N, 2) original pixels of the target image.

    Raises:
        DataError: see `threshold_length`.
    """
    frame = frame_of(protocol, target.size, fed)
    distance = distances(protocol, frame, target.points, predicted)
    errors: np.ndarray = distance / threshold_length(kind, target, frame)
    return errors


def distances(protocol: ProtocolSpec, frame: Frame, true: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Returns (N,) the distance of each prediction from the truth, in pixels of the protocol's frame.

    Args:
        true, predicted: (N, 2) original pixels of target images of one size.
    """
    offsets = frame.from_original(predicted) - _true_in_frame(protocol, true, frame)
    lengths: np.ndarray = np.linalg.norm(offsets, axis=1)
    return lengths


def is_correct(errors: np.ndarray, alpha: float, strict: bool) -> np.ndarray:
    """Compares relative errors with `alpha`: `<=`, or `<` where `strict`."""
    return errors < alpha if strict else errors <= alpha


def count_per_pair(is_right: np.ndarray, pair_of: np.ndarray, pairs: int) -> tuple[np.ndarray, np.ndarray]:
    """Counts correct points and all points in each pair.

    Args:
        is_right: (N,) bool, or (N, K) for K alphas.
        pair_of: (N,) number of the pair each point belongs to, below `pairs`.

    Returns:
        (pairs,) or (pairs, K) correct points, and (pairs,) points.
    """
    right = np.zeros((pairs, *is_right.shape[1:]))
    # `+=` would add only once to a pair that occurs several times.
    np.add.at(right, pair_of, is_right)
    return right, np.bincount(pair_of, minlength=pairs).astype(np.float64)


def percent(fraction: float) -> float:
    """A fraction in percent, as records and tables hold it."""
    # Ten digits: the last bits of a sum depend on the order of adding, and are not part of a result. No
    # negative zero.
    return round(100 * float(fraction), 10) + 0.0
