"""Processor seconds a pair of `sd4match-cpm`'s options and of the published way, where pictures recur."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import published
import torch
from agreement import locate_as_published
from cpm_choices import METHOD, Option
from cpm_stages import CpmStages
from ours import Setup, localizer_of
from workloads import Extent, write_folder

from baselines.sources import STABLE_DIFFUSION_2_1
from harness.preprocess import stretched_maps
from harness.running.predict import make_pair_features
from harness.running.resources import Resources
from harness.running.run_cell import run_cell

MANY = Extent(1, 11, 110, 160, 120)
"""All ordered pairs of eleven pictures: each is in twenty of them."""

PUBLISHED = "published"

PUBLISHED_PAIRS = 8


def measure_seconds(work: Path, options: Sequence[Option], repeats: int) -> dict[str, list[float]]:
    """Processor seconds a pair of whole evaluations and of the published way, which alternate.

    Our evaluation loads DINOv2 and encodes all pictures; the backbone is loaded before, as the published one.

    Returns:
        folder of an option, or `published` -> one for each repetition; those of `seconds.json` if there is
        one.
    """
    file = work / "seconds.json"
    if file.exists():
        return dict(json.loads(file.read_text(encoding="utf-8")))
    data = write_folder(work / "data", MANY)
    taken: dict[str, list[float]] = {}
    plain = Setup(data, work)
    features = _PublishedFeatures(plain)
    for number in range(repeats):
        for option in options:
            setup = replace(plain, precision=option.precision)
            prepared = setup.resolve(METHOD, f"seconds/{number}", **option.params)
            setup.backbone(prepared)
            begun = time.process_time()
            record = run_cell(Resources(setup.host, prepared.options, setup.shared), prepared)
            seconds = time.process_time() - begun
            if record.status != "ok" or record.provenance is None:
                raise RuntimeError(f"{option.text}: {record.error or record.failures[:1]}")
            taken.setdefault(option.folder, []).append(seconds / record.provenance.computed_pairs)
            click.echo(f"bench: {option.text}: {taken[option.folder][-1]:.4f} processor s a pair", err=True)
        taken.setdefault(PUBLISHED, []).append(features.seconds())
        click.echo(f"bench: published: {taken[PUBLISHED][-1]:.4f} processor s a pair", err=True)
    file.write_text(json.dumps(taken), encoding="utf-8")
    return taken


class _PublishedFeatures:
    """The published way on a few pairs: it computes all of each pair anew."""

    def __init__(self, setup: Setup) -> None:
        prepared = setup.resolve(METHOD)
        self._diffusion = published.Diffusion(
            prepared.weights.paths[STABLE_DIFFUSION_2_1], setup.device, setup.precision
        )
        self._backbone, _ = setup.backbone(prepared)
        self._prompt: Any = make_pair_features(prepared, setup.shared).prompt
        self._localizer = localizer_of(prepared)
        pairs = list(prepared.index.pairs.values())[:PUBLISHED_PAIRS]
        self._batch = [(pair, CpmStages._pair_requests(pair, prepared.index)) for pair in pairs]

    def seconds(self) -> float:
        """Processor seconds a pair."""
        begun = time.process_time()
        for number in range(len(self._batch)):
            self.pair(number)
        return (time.process_time() - begun) / len(self._batch)

    def pair(self, number: int = 0) -> None:
        """Finds the points of one pair."""
        pair, requests = self._batch[number]
        with torch.inference_mode():
            states = self._backbone.condition(self._prompt.make(pair.category, requests)).states
            maps = published.sd4match_maps(self._diffusion, [request.image for request in requests], states)
            square = (self._diffusion.side, self._diffusion.side)
            frames = stretched_maps(torch.stack(maps), requests, square)
            locate_as_published(maps, frames, torch.from_numpy(pair.source_points), self._localizer)
