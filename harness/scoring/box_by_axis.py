"""MARCO's threshold: a dataset's own length, but a box's two sides scaled by a factor each.

It imports nothing of the package: what it measures is hashed with all that it imports.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from harness.specs.protocols import TargetInFrame

LENGTH = "the dataset's own length, a box as if its picture were stretched to the square"
"""What `length_by_axis` returns, in words."""


def length_by_axis(target: TargetInFrame) -> float | None:
    """The length that alpha multiplies under the protocol `marco`, in pixels of its frame.

    The frame scales a picture of W x H pixels by one factor, side / max(W, H). The box is scaled by side / W
    across and side / H down, as it would be were the picture stretched to the square: a side that lies along
    the picture's shorter direction becomes too long. Where a dataset's length is not the box, it is scaled as
    points are.

    Returns:
        None where the dataset's length is the box and the target has none, or one without area; where it is
        the extent of the points, and they are one place.
    """
    side = max(target.size)
    if target.threshold == "image":
        return side
    if target.threshold == "points":
        extent = float(np.ptp(target.points, axis=0).max())
        return extent if extent > 0 else None
    if target.box is None:
        return None
    x1, y1, x2, y2 = target.box
    width, height = target.size
    longest = max((x2 - x1) * side / width, (y2 - y1) * side / height)
    return longest if longest > 0 else None
