"""A plugin for tests: an extractor with levels, matchers that give a volume and a flow, a reading of both."""

import os
import signal

import numpy as np
import PIL.Image

from harness import hookimpl
from harness.frames import Frame, Size, cells_to_pixels, pixels_to_cells
from harness.specs import (
    ExtractorSpec,
    FeatureMap,
    Lattice,
    LocalizerSpec,
    Located,
    MatcherSpec,
    Matches,
    MethodSpec,
)

bench_api = 1
COARSE, FINE = 8, 16
SIDE = 128
GRID = "half-pixel"


class Colours:
    """Mean colours of 8 x 8 cells; as levels those of 16 x 16 cells, and the picture's mean."""

    def __init__(self, context):
        self.contrast = float(context.params["contrast"])

    def extract(self, requests):
        return [self.colours(request) for request in requests]

    def colours(self, request):
        import torch

        fine = request.image.resize((FINE, FINE), PIL.Image.Resampling.BOX)
        pixels = torch.from_numpy(np.array(fine, dtype=np.float32) / 255).permute(2, 0, 1) * self.contrast
        coarse = torch.nn.functional.avg_pool2d(pixels, FINE // COARSE)
        frame = Frame.stretched(request.size, Size(SIDE, SIDE))
        # Around the middle: as they are, all colours point the same way.
        return FeatureMap(coarse - self.contrast / 2, frame, GRID, (pixels, pixels.mean((1, 2))))


def lattice(feature_map):
    """The cells of the finer level."""
    return Lattice(feature_map.frame, Size(FINE, FINE), GRID)


def cosines(source, target):
    """(16, 16, 16, 16) cosines of colours, each picture's mean taken off."""
    import torch

    units = []
    for pixels, mean in (source.levels, target.levels):
        units.append(torch.nn.functional.normalize(pixels - mean[:, None, None], dim=0))
    return torch.einsum("cyx,cvu->yxvu", *units)


class Cosines:
    """Cosines to a power, as a volume.

    In the call number `BENCH_PAIRS_LAST_CALL` the process is killed.
    """

    def __init__(self, context):
        self.power = int(context.params["power"])
        self.calls = 0

    def match(self, pairs):
        self.calls += 1
        if str(self.calls) == os.environ.get("BENCH_PAIRS_LAST_CALL"):
            os.kill(os.getpid(), signal.SIGKILL)
        return [
            Matches(lattice(source), lattice(target), volume=cosines(source, target) ** self.power)
            for source, target in pairs
        ]


class Motion:
    """The mean position under softmax of the cosines, as a flow."""

    def __init__(self, context):
        self.temperature = float(context.params["temperature"])

    def match(self, pairs):
        return [self.motion(source, target) for source, target in pairs]

    def motion(self, source, target):
        import torch

        scores = cosines(source, target).flatten(2) / self.temperature
        probability = scores.softmax(2).view((FINE,) * 4)
        cells = torch.arange(FINE, dtype=probability.dtype)
        x, y = (probability.sum(axis) @ cells for axis in (2, 3))
        confidence = probability.amax((2, 3))
        return Matches(lattice(source), lattice(target), flow=torch.stack([x, y]), confidence=confidence)


class Nearest:
    """What the matches say of the cell that is nearest to a point."""

    def read(self, matches, points):
        import torch

        start, end = matches.source, matches.target
        pixels = start.frame.from_original(points)
        cells = pixels_to_cells(pixels, start.frame.size, start.cells, start.grid or GRID).round().long()
        x, y = cells[:, 0].clamp(0, start.cells.width - 1), cells[:, 1].clamp(0, start.cells.height - 1)
        if matches.flow is None:
            score, best = matches.volume[y, x].flatten(1).max(1)
            places = torch.stack([best % end.cells.width, best // end.cells.width], 1).double()
        else:
            places = matches.flow[:, y, x].T.double()
            score = matches.confidence[y, x]
        pixels = cells_to_pixels(places, end.frame.size, end.cells, end.grid or GRID)
        return Located(end.frame.to_original(pixels), score)


@hookimpl
def bench_extractors():
    return [
        ExtractorSpec(name="pairs-colours", make=Colours, image_size=(SIDE, SIDE), params={"contrast": 1.0})
    ]


@hookimpl
def bench_matchers():
    return [
        MatcherSpec(
            name="pairs-cosines",
            make=Cosines,
            extractors=frozenset({"pairs-colours"}),
            params={"power": 1},
            param_help={"power": "exponent of the cosines; odd"},
            description="cosines of colours around their mean",
        ),
        MatcherSpec(
            name="pairs-motion",
            make=Motion,
            extractors=frozenset({"pairs-colours"}),
            gives="flow",
            params={"temperature": 0.05},
            description="mean positions under softmax of the cosines",
        ),
    ]


@hookimpl
def bench_localizers():
    return [
        LocalizerSpec(
            name="pairs-nearest",
            make=Nearest,
            grid=GRID,
            reads="patch",
            matches=frozenset({"volume", "flow"}),
            maps=False,
            description="what the matches say of the nearest cell",
        )
    ]


@hookimpl
def bench_methods():
    return [
        MethodSpec(
            name="pairs", extractor="pairs-colours", matcher="pairs-cosines", localizer="pairs-nearest"
        ),
        MethodSpec(name="pairs-flow", extractor="pairs-colours", matcher="pairs-motion", localizer="flow"),
    ]
