"""A plugin for tests: an extractor that takes prompts, a localizer, a prompt type and a dataset."""

import hashlib
import os
import signal
from dataclasses import dataclass

import numpy as np
import PIL.Image

from harness import hookimpl
from harness.frames import Frame, Size
from harness.specs import (
    DatasetSpec,
    ExtractorSpec,
    FeatureMap,
    ImagePair,
    LocalizerSpec,
    Located,
    MethodSpec,
    PromptSpec,
)

bench_api = 1
CELLS = 16
COLOURS = ((220, 40, 40), (40, 200, 60), (50, 60, 230), (230, 210, 40))


class Colours:
    """Mean colours of 16 x 16 cells, and one channel that says how long the prompt is."""

    def __init__(self, context):
        self.gain = float(context.params["gain"])

    def extract(self, requests):
        import torch

        maps = []
        for request in requests:
            small = (
                np.asarray(request.image.resize((CELLS, CELLS), PIL.Image.Resampling.BOX), dtype=np.float32)
                / 255
                - 0.5
            )
            colours = torch.from_numpy(small).permute(2, 0, 1) * self.gain
            prompt = torch.full((1, CELLS, CELLS), float(len(request.prompt or "")) / 100)
            maps.append(
                FeatureMap(
                    torch.cat([colours, prompt]), Frame.stretched(request.size, Size(64, 64)), "half-pixel"
                )
            )
        return maps


class Centre:
    """The middle of the target image, whatever is asked for.

    In its call number `BENCH_TOY_LAST_CALL` the process is killed.
    """

    def __init__(self):
        self.calls = 0

    def __call__(self, source, target, points):
        import torch

        self.calls += 1
        if str(self.calls) == os.environ.get("BENCH_TOY_LAST_CALL"):
            os.kill(os.getpid(), signal.SIGKILL)
        width, height = target.frame.original
        return Located(
            torch.tensor([[width / 2, height / 2]]).double().repeat(len(points), 1), torch.ones(len(points))
        )


@dataclass(frozen=True)
class Squares:
    """A picture with four coloured squares."""

    name: str
    seed: int

    def corners(self):
        return np.random.default_rng(self.seed).permutation(np.array([(8, 8), (40, 10), (10, 40), (38, 42)]))

    def identity(self):
        return hashlib.sha256(f"squares {self.seed}".encode()).hexdigest()

    def open(self):
        image = PIL.Image.new("RGB", (64, 64), (128, 128, 128))
        for (x, y), colour in zip(self.corners().tolist(), COLOURS, strict=True):
            image.paste(colour, (x, y, x + 12, y + 12))
        return image

    def points(self):
        return self.corners().astype(np.float64) + 6


class SquarePairs:
    def __init__(self, folder, split):
        self.images = [Squares(f"squares-{i}", i) for i in range(6)]
        self.pair_ids = tuple(f"{i}-{(i + 1) % 6}" for i in range(6))

    def __len__(self):
        return len(self.pair_ids)

    def __getitem__(self, index):
        a, b = self.images[index], self.images[(index + 1) % 6]
        names = ("red", "green", "blue", "yellow")
        size = Size(64, 64)
        return ImagePair(
            self.pair_ids[index],
            a,
            b,
            size,
            size,
            "squares",
            a.points(),
            b.points(),
            names,
            target_box=(8, 8, 54, 54),
        )


@hookimpl
def bench_extractors():
    return [
        ExtractorSpec(
            name="toy-colours",
            make=Colours,
            prompt_kinds=frozenset({"text"}),
            image_size=(64, 64),
            params={"gain": 1.0, "timestep": 7},
        )
    ]


@hookimpl
def bench_methods():
    return [MethodSpec(name="toy", extractor="toy-colours", prompt="toy-shout", localizer="argmax")]


@hookimpl
def bench_localizers():
    return [LocalizerSpec(name="toy-centre", make=Centre)]


@hookimpl
def bench_prompts():
    return [
        PromptSpec(
            name="toy-shout",
            kind="text",
            scope="category",
            make=lambda context: lambda category, images: f"{category.upper()}!",
        ),
        PromptSpec(name="toy-vector", kind="vector", make=lambda context: lambda category, images: [1.0]),
    ]


@hookimpl
def bench_datasets():
    return [DatasetSpec(name="toy-squares", open=SquarePairs, counts={"test": {"pairs": 6}})]
