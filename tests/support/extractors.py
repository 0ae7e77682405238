"""Feature maps that are quick to make."""

from __future__ import annotations

import numpy as np
import torch

from harness.frames import Frame, Size
from harness.specs import FeatureMap

CELLS = 6


def small_map(request, channels=3):
    """The picture itself at 6 x 6."""
    small = np.asarray(request.image.resize((CELLS, CELLS)), dtype=np.float32) / 255
    return FeatureMap(
        torch.from_numpy(small).permute(2, 0, 1)[:channels], Frame.stretched(request.size, Size(48, 48))
    )
