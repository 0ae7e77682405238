"""The published training step of SD4Match-CPM, on the weights, pairs and module of a training of ours.

As in the authors' code, every step opens its pictures, encodes each of them, and runs the U-Net to its
end, though gradients start at the block that is read; only DINOv2's features are computed before.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import PIL.Image
import torch
from ours import CountedTraining
from published import Diffusion, loss, training_maps
from torch import Tensor

from harness.specs import ImagePair
from sd4match_plugin.tuning.pairs import points_of

PAIRS = 3
"""Pairs of a GPU in the published training; its three GPUs' shares follow one another here."""

Draws = Callable[[str, Sequence[str]], Tensor]
"""(posterior or noise, places in the batch) -> normal numbers (n, 4, h, w)."""


class PublishedTraining:
    """Starts where ours stands, with a copy of its module and an optimizer of its own."""

    def __init__(self, ours: CountedTraining, diffusion: Diffusion) -> None:
        material = ours.job.inputs
        self._ours, self._diffusion, self._material = ours, diffusion, material
        self.module = copy.deepcopy(material.prompting.module)
        self._optimizer = torch.optim.Adam(
            self.module.parameter_groups(material.settings.rate, material.settings.linear_rate)
        )
        self.step_number = ours.job.training.step

    def step(self, draws: Draws | None = None) -> float:
        """One step of Adam; returns the mean loss of its pairs."""
        pairs = list(enumerate(self._ours.pairs(self.step_number)))
        self._optimizer.zero_grad()
        total = 0.0
        for first in range(0, len(pairs), PAIRS):
            share = pairs[first : first + PAIRS]
            value = self._loss([pair for _, pair in share], [place for place, _ in share], draws) * (
                len(share) / len(pairs)
            )
            value.backward()
            total += float(value.detach())
        self._optimizer.step()
        self.step_number += 1
        return total

    def _loss(self, pairs: Sequence[ImagePair], places: Sequence[int], draws: Draws | None) -> Tensor:
        settings, frame = self._material.settings, self._material.maps.frame
        # DINO's features were computed before, as in the published way.
        descriptors = self._material.prompting.descriptors
        source, target = (descriptors([image.identity() for image in side]) for side in _sides(pairs))
        states = self._material.encoder(
            self.module(source.to(self._diffusion.device), target.to(self._diffusion.device))
        )
        images = [image.open() for side in _sides(pairs) for image in side]
        named = [f"{place} {side}" for side in ("source", "target") for place in places]
        drawn, noise = (draws(what, named) if draws else None for what in ("posterior", "noise"))
        resample = {"bilinear": PIL.Image.Resampling.BILINEAR, "bicubic": PIL.Image.Resampling.BICUBIC}[
            settings.resample
        ]
        maps = training_maps(
            self._diffusion, images, torch.cat([states, states]), settings.timestep, drawn, noise, resample
        )
        points = points_of(pairs, frame)
        queries, truths = (
            [one[:count] for one, count in zip(side, points.counts, strict=True)]
            for side in (points.source, points.target)
        )
        return loss(*maps.split(len(pairs)), queries, truths, frame.width)


def _sides(pairs: Sequence[ImagePair]) -> tuple[list, list]:
    return [pair.source for pair in pairs], [pair.target for pair in pairs]
