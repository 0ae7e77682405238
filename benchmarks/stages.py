"""Measurements of both ways: how much is measured, and the stages that all methods share."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import operators
import published
import torch
from measuring import alternating, synchronise
from ours import (
    CountedTraining,
    Evaluation,
    Setup,
    rename_pictures,
)
from published_training import PublishedTraining
from report import Row
from workloads import SMALL, SPAIR_SHAPED, TRUE_SIZE, Extent

from harness.messages import counted
from harness.specs import ImageRequest


@dataclass(frozen=True)
class Scale:
    """Amount of what is measured.

    Attributes:
        extent: of the data.
        checked: pairs on which both ways must agree.
        images: pictures whose features are timed together.
        point_pairs: pairs on which localizers are timed.
        dift_pairs: pairs of the published whole evaluation of `dift`; its pictures are all of them.
        cpm_pairs: pairs of our whole evaluation of `sd4match-cpm`.
        published_cpm_pairs: of the published one.
        feature_pairs: pairs whose features are timed together.
        repeats: timed calls of a stage.
        whole: timed runs of a whole evaluation.
        steps: timed steps of a training.
        step_pairs: pairs of such a step.
        training_pairs: pairs that the training goes over, whose pictures are encoded before; None for all.
        points, sides: points per pair, and longer sides of pictures in pixels, that growth is measured over.
    """

    extent: Extent
    checked: int
    images: int
    point_pairs: int
    dift_pairs: int
    cpm_pairs: int
    published_cpm_pairs: int
    repeats: int
    whole: int
    steps: int
    feature_pairs: int = 8
    step_pairs: int = 9
    training_pairs: int | None = None
    points: tuple[int, ...] = (1, 10, 100)
    sides: tuple[int, ...] = (250, 500, 1000)


TINY = Scale(
    SPAIR_SHAPED,
    checked=1,
    images=8,
    point_pairs=4,
    dift_pairs=6,
    cpm_pairs=48,
    published_cpm_pairs=16,
    repeats=3,
    whole=3,
    steps=5,
)
QUICK = Scale(
    SMALL,
    checked=1,
    images=2,
    point_pairs=1,
    dift_pairs=1,
    cpm_pairs=4,
    published_cpm_pairs=2,
    repeats=1,
    whole=1,
    steps=1,
    points=(1, 10),
    sides=(100, 200),
)
SD21 = Scale(
    TRUE_SIZE,
    checked=1,
    images=4,
    point_pairs=4,
    dift_pairs=4,
    cpm_pairs=64,
    published_cpm_pairs=8,
    repeats=3,
    whole=1,
    steps=3,
    step_pairs=1,
    training_pairs=4,
)
"""One pair a step, as the published way keeps 6 GB for each: its graph goes through all blocks."""


@dataclass(frozen=True)
class Measured:
    """Rows of one method, and what later tables need."""

    rows: list[Row]
    evaluation: Evaluation
    per_picture: float = 0.0
    """Seconds of the published way."""
    per_pair: float = 0.0


class Stages:
    """The measurements, one method after the other."""

    def __init__(self, setup: Setup, diffusion: published.Diffusion, scale: Scale) -> None:
        self._setup = setup
        self._diffusion = diffusion
        self._scale = scale
        self._mark = itertools.count()

    def _fresh(self, requests: list[ImageRequest]) -> list[ImageRequest]:
        """The pictures as if never seen before."""
        return rename_pictures(requests, f"-{next(self._mark)}")

    def networks(self) -> list[Row]:
        """The VAE's encoder and the U-Net by themselves."""
        setup, diffusion = self._setup, self._diffusion
        prepared = setup.resolve("dift")
        backbone, _ = setup.backbone(prepared)
        level = backbone.card.levels["up-block 1"]
        pixels = torch.rand(1, 3, diffusion.side, diffusion.side) * 2 - 1
        given = pixels.to(setup.device, diffusion.dtype)
        condition = backbone.condition("")
        with torch.inference_mode():
            posterior = backbone.posterior(pixels)
            noisy = torch.randn(8, *posterior.mean.shape[1:]).to(setup.device)
            states = condition.states.expand(8, -1, -1)
            # DIFT encodes a copy for each draw, SD4Match one picture.
            encoders = self._time(
                ours=lambda: backbone.posterior(pixels),
                published=lambda: diffusion.latents(given.repeat(8, 1, 1, 1), None),
                sd4match=lambda: diffusion.latents(given, None),
            )
            prompts, given_noisy = [condition] * 8, noisy.to(diffusion.dtype)
            # The papers' timesteps: 261 of DIFT, 50 of SD4Match's evaluation.
            passes = self._time(
                ours=lambda: backbone.activations(noisy, 261, prompts, [level]),
                published=lambda: diffusion.block_output(given_noisy, 261, states, stop=True),
                sd4match=lambda: diffusion.block_output(given_noisy, 50, states, stop=False),
            )
        return [
            Row.of("VAE encoder, DIFT's eight copies", "picture", encoders, 1),
            Row.of(
                "VAE encoder, SD4Match's one",
                "picture",
                encoders,
                1,
                other="sd4match",
                note="ours keeps it, SD4Match encodes again",
            ),
            Row.of("U-Net, eight draws, DIFT (stops at the block)", "picture", passes, 1),
            Row.of("U-Net, eight draws, SD4Match (whole)", "picture", passes, 1, other="sd4match"),
        ]

    def shares(self, ours: CountedTraining) -> dict[str, dict[str, float]]:
        """Shares of the seconds of our U-Net, encoder and training step by kind of operation."""
        setup = self._setup
        backbone, _ = setup.backbone(setup.resolve("dift"))
        level, prompts = backbone.card.levels["up-block 1"], [backbone.condition("")] * 8
        pixels = torch.rand(1, 3, self._diffusion.side, self._diffusion.side) * 2 - 1
        with torch.inference_mode():
            latents = backbone.posterior(pixels).mean.expand(8, -1, -1, -1)
            calls: dict[str, Callable[[], Any]] = {
                "U-Net, eight draws": lambda: backbone.activations(latents, 261, prompts, [level]),
                "VAE encoder": lambda: backbone.posterior(pixels),
            }
            found = {name: operators.shares_of(call, setup.device) for name, call in calls.items()}
        found["sd4match-cpm, training step"] = operators.shares_of(ours.step, setup.device)
        return found

    def _time(self, count_flops: bool = True, **calls: Callable[[], Any]) -> dict[str, Any]:
        return alternating(calls, self._scale.repeats, self._setup.device, count_flops)

    def training(self, ours: CountedTraining, theirs: PublishedTraining) -> Row:
        """One step of SD4Match-CPM."""
        timings = alternating(
            {"ours": ours.step, "published": theirs.step},
            self._scale.steps,
            self._setup.device,
            count_flops=True,
        )
        synchronise(self._setup.device)
        measured = f"{counted(ours.job.settings.batch, 'pair')}, {counted(self._scale.steps, 'step')}"
        note = (
            f"{measured}; published: every picture encoded in every step, whole U-Net; ours: encoded before"
        )
        return Row.of("sd4match-cpm, training step", "step", timings, 1, 2, note)
