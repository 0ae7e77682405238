"""A plugin for tests of clusters: extractors that wait for a sign, kill their process, or cannot be made.

They meet in the folder BENCH_TROUBLE, which all processes of one machine see.
"""

import os
import signal
import time
from pathlib import Path

import numpy as np

from harness import hookimpl
from harness.frames import Frame, Size
from harness.specs import ExtractorSpec, FeatureMap

CELLS = 6


def picture(request):
    """The picture itself at 6 x 6."""
    import torch

    small = np.asarray(request.image.resize((CELLS, CELLS)), dtype=np.float32) / 255
    return FeatureMap(torch.from_numpy(small).permute(2, 0, 1), Frame.stretched(request.size, Size(48, 48)))


class Plain:
    def __init__(self, context):
        self.folder = Path(os.environ.get("BENCH_TROUBLE", "."))

    def extract(self, requests):
        for request in requests:
            self.meet(request)
        return [picture(request) for request in requests]

    def meet(self, request):
        pass


class Gated(Plain):
    """Stops at its 20th picture until there is a file `open`; a file of its process says that it waits."""

    seen = 0

    def meet(self, request):
        self.seen += 1
        if self.seen >= 20:
            (self.folder / f"waits-{os.getpid()}").touch()
            while not (self.folder / "open").exists():
                time.sleep(0.05)


class Once(Plain):
    """Kills the first process that comes to its 20th picture."""

    seen = 0

    def meet(self, request):
        self.seen += 1
        if self.seen == 20 and not (self.folder / "killed").exists():
            (self.folder / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)


class Deadly(Plain):
    """Kills every process that is given a picture of one size."""

    def meet(self, request):
        if request.image.size == (64, 48):
            os.kill(os.getpid(), signal.SIGKILL)


def broken(context):
    raise RuntimeError("no such layer")


@hookimpl
def bench_extractors():
    makers = {"plain": Plain, "gated": Gated, "once": Once, "deadly": Deadly, "broken": broken}
    return [
        ExtractorSpec(name=f"trouble-{name}", make=make, scope="image", image_size=(48, 48))
        for name, make in makers.items()
    ]
