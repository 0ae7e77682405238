"""The pixels of a picture that show its object."""

from __future__ import annotations

import numpy as np
import PIL.Image
import PIL.ImageDraw

from harness.datasets.shapes.canvas import FINE
from harness.datasets.shapes.scene import Scene


def draw_object(scene: Scene) -> np.ndarray:
    """(height, width) bool: pixels of which the object shows in a half or more.

    What lies before the object hides it.
    """
    mask = PIL.Image.new("L", (scene.size.width * FINE, scene.size.height * FINE))
    draw = PIL.ImageDraw.Draw(mask)
    # Things before the object come last: what they cover is not seen.
    for patches, value in ((scene.patches, 255), (scene.occluders, 0)):
        for patch in patches:
            draw.polygon([(x * FINE, y * FINE) for x, y in patch.outline.tolist()], fill=value)
    shown: np.ndarray = np.asarray(mask.reduce(FINE)) >= 128
    return shown
