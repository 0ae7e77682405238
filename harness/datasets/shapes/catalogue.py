"""The categories, each with its parts, keypoints and typical looks."""

from __future__ import annotations

from collections.abc import Mapping

from harness.datasets.shapes.animals import BIRD, CAT, FISH, HORSE
from harness.datasets.shapes.sketch import Kind
from harness.datasets.shapes.things import CHAIR, HOUSE
from harness.datasets.shapes.vehicles import AEROPLANE, BICYCLE, BOAT, CAR

KINDS: Mapping[str, Kind] = {
    "aeroplane": AEROPLANE,
    "bicycle": BICYCLE,
    "bird": BIRD,
    "boat": BOAT,
    "car": CAR,
    "cat": CAT,
    "chair": CHAIR,
    "fish": FISH,
    "horse": HORSE,
    "house": HOUSE,
}
