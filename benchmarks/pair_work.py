"""Times what every pair needs besides the networks, at true shapes, in CPU seconds of one thread.

Points of a pair (ten of them, in pictures of 500 x 375 pixels) from maps that are at hand, and SD+DINO's
principal components. `reproduction` puts it beside its counts, since a method that computes features once a
picture may spend more on 12,234 pairs than on 480 pictures.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

from baselines.methods.sd_dino import COMPONENTS, principal_components
from harness.frames import Frame, GridConvention, Size
from harness.localizers.catalogue import LOCALIZERS
from harness.specs import FeatureMap

ORIGINAL = Size(500, 375)
POINTS = 10
REPEATS = 5

LEVELS = ((640, 60), (1280, 30), (1280, 15))
"""Channels and cells across of the decoder states that SD+DINO reads."""


def seconds_by_pair() -> dict[str, float]:
    """Median CPU seconds of a pair, by what is done; other work of the machine is not in them."""
    stretched = Frame.stretched(ORIGINAL, Size(768, 768))
    padded = Frame.padded(ORIGINAL, 840)
    # Maps of Stable Diffusion 2-1, and of SD+DINO.
    shapes: dict[str, tuple[str, int, int, Frame, GridConvention | None]] = {
        "dift: argmax-original": ("argmax-original", 1280, 48, stretched, None),
        "sd4match: kernel-softmax": ("kernel-softmax", 1280, 48, stretched, None),
        "sd-dino: argmax-patch": ("argmax-patch", 1536, 60, padded, "patch-centre"),
    }
    times = {what: _time_points(*shape) for what, shape in shapes.items()}
    times["sd-dino: principal components"] = _median_seconds(_reduce_levels)
    return times


def _time_points(name: str, channels: int, cells: int, frame: Frame, grid: GridConvention | None) -> float:
    localizer = next(spec for spec in LOCALIZERS if spec.name == name).make()
    points = torch.rand(POINTS, 2).double() * torch.tensor(ORIGINAL)
    maps = [torch.randn(channels, cells, cells) for _ in range(2)]

    def locate() -> None:
        # New maps, since a map keeps its features' lengths once they are known.
        localizer(*(FeatureMap(data, frame, grid) for data in maps), points)

    return _median_seconds(locate)


def _reduce_levels() -> None:
    for channels, cells in LEVELS:
        source, target = torch.randn(2, channels, cells, cells)
        principal_components(source, target, COMPONENTS)


def _median_seconds(call: Callable[[], None]) -> float:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        taken = []
        call()
        for _ in range(REPEATS):
            start = time.process_time()
            call()
            taken.append(time.process_time() - start)
    finally:
        torch.set_num_threads(before)
    return statistics.median(taken)
