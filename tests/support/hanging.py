"""A plugin that is really installed, and does as an environment variable says on one picture."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
from support.photos import read_list

MODE, CULPRIT = "BENCH_HANGING_MODE", "BENCH_HANGING_CULPRIT"

_CODE = f'''
import ctypes
import itertools
import os
import time

import numpy as np

from harness import hookimpl
from harness.frames import Frame, Size
from harness.specs import ExtractorSpec, FeatureMap


class Extractor:
    def extract(self, requests):
        for request in requests:
            if request.identity == os.environ.get("{CULPRIT}"):
                misbehave(os.environ["{MODE}"])
        return [small_map(request) for request in requests]


def misbehave(mode):
    if mode == "sleeps":
        while True:
            try:
                time.sleep(60)
            except Exception:
                pass
    if mode == "hangs in C":
        # Holds the lock of Python, and looks at no signal.
        sum(itertools.repeat(0))
    if mode == "crashes":
        ctypes.string_at(0)
    if mode == "exits":
        os._exit(0)
    if mode == "forks":
        os.fork()


def small_map(request):
    import torch

    small = np.asarray(request.image.resize((6, 6)), dtype=np.float32) / 255
    return FeatureMap(torch.from_numpy(small).permute(2, 0, 1), Frame.stretched(request.size, Size(48, 48)))


@hookimpl
def bench_extractors():
    return [ExtractorSpec(name="hanging", make=lambda context: Extractor(), image_size=(48, 48))]
'''


def install(site: Path) -> Path:
    """Puts the plugin into a folder as pip would."""
    info = site / "bench_hanging-1.dist-info"
    info.mkdir(parents=True)
    (site / "bench_hanging.py").write_text(_CODE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bench-hanging\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[bench]\nhanging = bench_hanging\n")
    return site


def hanging_pairs(photos: Path, culprit: str = "photo1.png") -> list[str]:
    """Pairs of a photo collection that the picture is in."""
    pairs = enumerate(read_list(photos)["pairs"], start=1)
    return [f"{number:06}" for number, pair in pairs if culprit in (pair["source"], pair["target"])]


def rows(results: Path) -> dict[tuple[str, str], str]:
    """The predictions of a results folder, with all of their digits, by pair and localizer."""
    (path,) = results.glob("*/predictions.parquet")
    return {(row["pair_id"], row["localizer"]): repr(row) for row in pq.read_table(path).to_pylist()}
