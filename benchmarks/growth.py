"""Growth of cost: with pairs, points, the picture's size, the network's, and the ensemble."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import published
import torch
from measuring import alternating
from ours import (
    Evaluation,
    Setup,
    evaluate,
    extractor_of,
    localizer_of,
    rename_pictures,
    requests_of,
    with_category_prompts,
)
from report import Growth
from stages import Scale
from workloads import write_folder

from harness.frames import Frame, Size
from harness.specs import FeatureMap, ImageExtractor, ImageRequest

ENSEMBLES = (1, 2, 4, 8)
FACTORS = (0.5, 1.0, 2.0)
"""Of the network's native side."""


def pairs(
    setup: Setup, scale: Scale, folder_root: Path, whole: Evaluation, per_picture: float, per_pair: float
) -> Growth:
    """Whole evaluations of `dift` on an eighth, a quarter, half and all of the pairs of the same pictures.

    Args:
        folder_root: an empty folder.
        whole: on all of them.
        per_picture, per_pair: seconds of the published way, which grow as they must.
    """
    counts, ours, theirs, pictures = [], [], [], set()
    for part in (8, 4, 2, 1):
        extent = replace(scale.extent, pairs=max(1, scale.extent.pairs // part))
        folder = write_folder(folder_root / str(part), extent)
        prepared = replace(setup, data=folder).resolve("dift", out=f"growth-{part}")
        images = set()
        for pair in prepared.index.pairs.values():
            images.add(pair.source.identity())
            images.add(pair.target.identity())
        # All pairs were evaluated for the table of ratios.
        run = whole if part == 1 else evaluate(setup, prepared)
        counts.append(run.pairs)
        ours.append(run.seconds)
        pictures.add(len(images))
        theirs.append(per_picture * len(images) + per_pair * run.pairs)
    numbers = " or ".join(map(str, sorted(pictures)))
    note = f"Whole evaluations on {numbers} pictures. Published: seconds a picture and a pair, from above."
    return Growth(
        "dift, with pairs at fixed pictures", "pairs", counts, {"ours": ours, "published": theirs}, note
    )


class Maps:
    """Two feature maps of `dift`, as if of pictures of any size."""

    def __init__(self, setup: Setup) -> None:
        self.prepared = setup.resolve("dift")
        setup.backbone(self.prepared)
        self.pairs = list(self.prepared.index.pairs.values())
        requests = []
        for request in requests_of(self.pairs[:1], self.prepared.index):
            requests.append(replace(request, prompt="a photo of a cat"))
        with torch.inference_mode():
            self._maps = list(extractor_of(setup, self.prepared).extract(requests))

    def of(self, size: Size) -> list[FeatureMap]:
        """Both, of pictures of `size` pixels."""
        maps = []
        for feature_map in self._maps:
            frame = Frame.stretched(size, feature_map.frame.size)
            maps.append(FeatureMap(feature_map.data, frame))
        return maps


def _time_localizer(setup: Setup, maps: Maps, size: Size, points: int, repeats: int) -> dict[str, float]:
    """Seconds of `argmax-original`, ours and published, for random points."""
    source, target = maps.of(size)
    shares = np.random.default_rng(0).uniform(0, 1, (points, 2))
    queries = torch.from_numpy(shares * np.array(size))

    def ours() -> None:
        # A new localizer each time, which knows no norms of the target map.
        localizer = localizer_of(maps.prepared)
        with torch.inference_mode():
            localizer(source, target, queries).points.cpu()

    arguments = (source.data, target.data, size, size, queries)
    calls: dict[str, Callable[[], Any]] = {
        "ours": ours,
        "published": lambda: published.dift_points(*arguments),
        "normalise-once": lambda: published.dift_points_normalised_once(*arguments),
    }
    if points > 10:
        # Its seconds are known by then: a fixed part and one for each point.
        del calls["published"]
    timings = alternating(calls, repeats, setup.device)
    return {name: timing.median for name, timing in timings.items()}


def _seconds_by_way(rows: Sequence[Mapping[str, float]]) -> dict[str, list[float]]:
    """Columns of a table from its rows: way -> seconds, in the rows' order."""
    columns: dict[str, list[float]] = {"ours": [], "published": [], "normalise-once": []}
    for way, column in columns.items():
        column += [row[way] for row in rows]
    return columns


def points_per_pair(setup: Setup, maps: Maps, scale: Scale) -> Growth:
    """`argmax-original` for one pair."""
    size = Size(scale.extent.longer, scale.extent.shorter)
    points = scale.points
    seconds = [_time_localizer(setup, maps, size, count, 2) for count in points]
    # The published way is a line in the number of points, through the first two measurements.
    fewer, more = seconds[0]["published"], seconds[1]["published"]
    per_point = (more - fewer) / (points[1] - points[0])
    for count, by_way in zip(points, seconds, strict=True):
        by_way.setdefault("published", more + per_point * (count - points[1]))
    ways = _seconds_by_way(seconds)
    note = (
        f"One pair, pictures of {size.width} x {size.height} pixels, a target map not met before. "
        "Published, 100 points: from the first two."
    )
    return Growth("argmax-original, with points", "points", points, ways, note)


def picture_size(setup: Setup, maps: Maps, scale: Scale) -> Growth:
    """`argmax-original` for one pair of larger and larger pictures."""
    sizes = [Size(side, side * 3 // 4) for side in scale.sides]
    seconds = [_time_localizer(setup, maps, size, 10, 2) for size in sizes]
    ways = _seconds_by_way(seconds)
    labels = [f"{size.width} x {size.height}" for size in sizes]
    return Growth(
        "argmax-original, with the picture's size",
        "pixels",
        labels,
        ways,
        "One pair, 10 points, a target map not met before.",
    )


def network_size(setup: Setup, repeats: int) -> Growth:
    """The encoder and the U-Net for one picture, eight draws, at other sizes than the native one."""
    backbone, _ = setup.backbone(setup.resolve("dift"))
    level, condition = backbone.card.levels["up-block 1"], backbone.condition("")
    sides = [int(backbone.card.native * factor) for factor in FACTORS]
    encoders, passes = [], []
    for side in sides:
        # Any pixels do: time depends on sizes alone.
        pixels = torch.rand(1, 3, side, side) * 2 - 1
        with torch.inference_mode():
            noisy = backbone.posterior(pixels).mean.repeat(8, 1, 1, 1)
            prompts = [condition] * 8
            calls: dict[str, Callable[[], Any]] = {
                "encoder": partial(backbone.posterior, pixels),
                "U-Net": partial(backbone.activations, noisy, 261, prompts, [level]),
            }
            timings = alternating(calls, repeats, setup.device)
        encoders.append(timings["encoder"].median)
        passes.append(timings["U-Net"].median)
    labels = [f"{side} x {side}" for side in sides]
    return Growth(
        "networks, with the size they are fed",
        "pixels",
        labels,
        {"VAE encoder": encoders, "U-Net": passes},
        "One picture, eight draws.",
    )


def ensemble(setup: Setup, diffusion: published.Diffusion, count: int, repeats: int) -> Growth:
    """Features of `dift` for `count` pictures."""
    mark = itertools.count()

    def extract(extractor: ImageExtractor, requests: list[ImageRequest]) -> Any:
        # Under new names, since the extractor keeps what it has made of a picture.
        return extractor.extract(rename_pictures(requests, f"-{next(mark)}"))

    def extract_as_published(requests: list[ImageRequest], states: list[torch.Tensor], size: int) -> Any:
        features = []
        for request, state in zip(requests, states, strict=True):
            features.append(published.dift_features(diffusion, request.image, state, ensemble=size))
        return features

    ours, theirs = [], []
    for size in ENSEMBLES:
        prepared = setup.resolve("dift", ensemble=size)
        backbone, _ = setup.backbone(prepared)
        pairs_of_cell = list(prepared.index.pairs.values())
        requests = requests_of(pairs_of_cell, prepared.index)[:count]
        requests = with_category_prompts(requests)
        extractor = extractor_of(setup, prepared)
        states = [backbone.text_states(str(request.prompt)) for request in requests]
        calls: dict[str, Callable[[], Any]] = {
            "ours": partial(extract, extractor, requests),
            "published": partial(extract_as_published, requests, states, size),
        }
        with torch.inference_mode():
            timings = alternating(calls, repeats, setup.device)
        ours.append(timings["ours"].median / count)
        theirs.append(timings["published"].median / count)
    return Growth(
        "dift, with the ensemble",
        "draws",
        ENSEMBLES,
        {"ours": ours, "published": theirs},
        f"Seconds a picture, of {count}.",
    )
