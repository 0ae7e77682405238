"""The published training step of SD4Match-CPM, on the weights, pairs and module of a training of ours.

As in the authors' code, every step opens its pictures, encodes each of them, and runs the U-Net to its
end, though gradients start at the block that is read; only DINOv2's features are computed before.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch
from ours import CountedTraining
from published import Diffusion, loss, training_maps
from torch import Tensor

from baselines.networks.pixels import FILTERS
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
        self._ours = ours
        self._diffusion = diffusion
        self._material = material
        self.module = copy.deepcopy(material.prompting.module)
        self._optimizer = torch.optim.Adam(
            self.module.parameter_groups(material.settings.rate, material.settings.linear_rate)
        )
        self.step_number = ours.job.training.step

    def step(self, draws: Draws | None = None) -> float:
        """One step of Adam; returns the mean loss of its pairs."""
        pairs = self._ours.pairs(self.step_number)
        self._optimizer.zero_grad()
        total = 0.0
        for start in range(0, len(pairs), PAIRS):
            share = pairs[start : start + PAIRS]
            numbers = range(start, start + len(share))
            # Weighted, so that the sum of the shares' means is the mean over all pairs.
            value = self._loss(share, numbers, draws) * (len(share) / len(pairs))
            value.backward()
            total += float(value.detach())
        self._optimizer.step()
        self.step_number += 1
        return total

    def _loss(self, pairs: Sequence[ImagePair], places: Sequence[int], draws: Draws | None) -> Tensor:
        settings, frame = self._material.settings, self._material.maps.frame
        device = self._diffusion.device
        sources = [pair.source for pair in pairs]
        targets = [pair.target for pair in pairs]
        # DINO's features were computed before, as in the published way.
        descriptors = self._material.prompting.descriptors
        source = descriptors([image.identity() for image in sources])
        target = descriptors([image.identity() for image in targets])
        prompts = self.module(source.to(device), target.to(device))
        states = self._material.encoder(prompts)
        images = [image.open() for image in (*sources, *targets)]
        drawn = noise = None
        if draws:
            # The names that ours gives to the draws of a batch: all sources, then all targets.
            names = [f"{place} source" for place in places]
            names += [f"{place} target" for place in places]
            drawn, noise = draws("posterior", names), draws("noise", names)
        # Both pictures of a pair have the pair's prompt.
        maps = training_maps(
            self._diffusion,
            images,
            torch.cat([states, states]),
            settings.timestep,
            drawn,
            noise,
            FILTERS[settings.resample],
        )
        points = points_of(pairs, frame)
        # Rows are padded to the pair with the most points.
        queries, truths = [], []
        for number, count in enumerate(points.counts):
            queries.append(points.source[number][:count])
            truths.append(points.target[number][:count])
        return loss(*maps.split(len(pairs)), queries, truths, frame.width)
