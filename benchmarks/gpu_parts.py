"""The parts of a run on a GPU, in the order of their importance."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import agreement
import torch
from cpm_stages import CpmStages
from dift_stages import DiftStages
from gpu_report import Report
from measuring import ceiling, peak_bytes
from ours import CountedTraining, Setup, evaluate
from published import Diffusion, dift_features, dift_points, sd4match_maps
from published_training import PublishedTraining
from report import GIGA, TERA, Row
from stages import Scale, Stages

from baselines.sources import STABLE_DIFFUSION_2_1
from harness.features.extraction import is_out_of_memory, release_memory

ENCODE, READ, WHOLE = 2.61, 1.13, 2.15
"""TFLOP at 768 x 768: the VAE's encoder, a draw through the U-Net up to the block that is read, the whole."""

OUR_PICTURE, THEIR_PICTURE = ENCODE + 8 * READ, 8 * (ENCODE + READ)
NEW_PAIR, KNOWN_PAIR, THEIR_PAIR = 22.5, 14.7, 2 * (ENCODE + 8 * WHOLE)
"""Of `sd4match-cpm`; the first two are counted in results/performance/cpu-sd21-pair.md."""

SHARE = 0.3
"""Of the ceiling, that networks are expected to reach before anything is known of a GPU."""

OUT_OF_MEMORY = "out of memory"


class NotMeasured(Exception):
    """A part that cannot be measured here; its text says why."""


@dataclass(frozen=True)
class Part:
    """A part of the run.

    Attributes:
        tera: operations in TFLOP, at true size.
        seconds: besides.
    """

    title: str
    run: Callable[[], None]
    tera: float = 0.0
    seconds: float = 1.0

    def estimate(self, ceiling: float) -> float:
        """Seconds where so many FLOP/s are the most."""
        return self.seconds + self.tera * TERA / (SHARE * ceiling)


@dataclass
class Bench:
    """What parts share.

    Attributes:
        setup: for `dift`, as many pairs a picture as SPair-71k has.
        cpm: for `sd4match-cpm`, fewer pictures.
    """

    setup: Setup
    cpm: Setup
    scale: Scale
    report: Report
    is_true_size: bool = True

    @property
    def device(self) -> str:
        """The torch device."""
        return self.setup.device

    @cached_property
    def diffusion(self) -> Diffusion:
        """The published way's networks."""
        return published_networks(self.setup)

    def release(self) -> None:
        """Drops all networks, and gives their memory back."""
        self.__dict__.pop("diffusion", None)
        self.setup.shared.clear()
        self.forget()

    def forget(self) -> None:
        """Drops what measurements of one method keep between them."""
        for name in ("_dift", "_cpm"):
            self.__dict__.pop(name, None)
        free_memory()

    @cached_property
    def _dift(self) -> DiftStages:
        return DiftStages(self.setup, self.diffusion, self.scale)

    @cached_property
    def _cpm(self) -> CpmStages:
        return CpmStages(self.cpm, self.diffusion, self.scale)

    def add(self, *rows: Row) -> None:
        """Adds rows to the table of ratios, with the targets of a GPU in the place of a CPU's."""
        for row in rows:
            name = next((name for name in self.report.targets if row.what == name), None)
            target = self.report.targets[name].wanted if name else row.target
            self.report.rows.append(replace(row, target=None if self.report.quick else target))
            if name:
                self.report.reach(name, row.ratio)

    # The parts.

    def agree_dift(self) -> None:
        """Features and points of DIFT."""
        self.report.agreements += agreement.check_dift(self.setup, self.diffusion, self.scale.checked)

    def agree_cpm(self) -> None:
        """Maps and points of SD4Match-CPM."""
        self.report.agreements += agreement.check_cpm(self.cpm, self.diffusion, self.scale.checked)

    def agree_in_single_precision(self) -> None:
        """DIFT once more in fp32, without the shorter mantissas that a GPU's convolutions take by default."""
        setup = replace(self.setup, precision="fp32")
        allowed = torch.backends.cudnn.allow_tf32
        torch.backends.cudnn.allow_tf32 = False
        try:
            lines = agreement.check_dift(setup, published_networks(setup), 1)
        finally:
            torch.backends.cudnn.allow_tf32 = allowed
        self.report.agreements += [f"fp32, TF32 off: {line}" for line in lines]

    def dift_features(self) -> None:
        """Features of pictures."""
        self.add(self._dift.features())

    def dift_points(self) -> None:
        """`argmax-original`."""
        self.add(*self._dift.points())

    def dift_whole(self) -> None:
        """The whole evaluation of DIFT."""
        self.add(*self._dift.whole().rows)
        self.forget()

    def cpm_features(self) -> None:
        """Features of pairs."""
        self.add(self._cpm.features(), self._cpm.points())

    def cpm_whole(self) -> None:
        """The whole evaluation of SD4Match-CPM."""
        self.add(*self._cpm.whole().rows)
        self.forget()

    def training(self) -> None:
        """A step of training: that both ways agree, and how long it takes."""
        ours = CountedTraining(self.cpm, self.scale.step_pairs, self.scale.training_pairs)
        theirs = PublishedTraining(ours, self.diffusion)
        disagreement = None
        try:
            self.report.agreements += agreement.check_training(ours, theirs)
        except agreement.Disagreement as error:
            disagreement = error
        self.add(Stages(self.cpm, self.diffusion, self.scale).training(ours, theirs))
        if disagreement:
            raise disagreement

    def networks(self) -> None:
        """The networks by themselves, and their share of the ceiling."""
        rows = Stages(self.setup, self.diffusion, self.scale).networks()
        self.add(*rows)
        precision = self.report.precision
        # Once more: a GPU that has become warm may be slower, and one that was idle faster.
        again = ceiling(self.device, precision, 1.0)
        self.report.ceilings[precision] = max(again, self.report.ceilings.get(precision, 0.0))
        for target, start in ((VAE_SHARE, "VAE"), (UNET_SHARE, "U-Net")):
            row = next(row for row in rows if row.what.startswith(start))
            if row.flops:
                self.report.reach(target, 100 * row.flops[0] / row.ours / self.report.ceiling)

    def memory(self) -> None:
        """Memory from nothing, networks included."""
        self.release()
        note = (
            "The most that was needed, networks included and nothing else in memory, from loading on. "
            "Published evaluations are without text encoder and DINOv2, whose outputs they are given. "
            f"Training: {self.scale.step_pairs} pairs a step."
        )
        rows = self.report.table("Peak memory, GB", ["what", "ours", "published"], note)
        for what, ours, published in (
            ("dift, pictures and points", self._our_dift, self._their_dift),
            ("sd4match-cpm, pairs", self._our_cpm, self._their_cpm),
            ("sd4match-cpm, a step of training", self._our_step, self._their_step),
        ):
            rows.append([what, self._peak(ours), self._peak(published)])

    def _peak(self, call: Callable[[], Any]) -> str:
        free_memory()
        peak = attempt(lambda: peak_bytes(call, self.device))
        self.setup.shared.clear()
        return OUT_OF_MEMORY if peak is None else f"{peak / GIGA:.2f}"

    def _our_dift(self) -> None:
        evaluate(self.setup, self.setup.resolve("dift", limit=2))

    def _our_cpm(self) -> None:
        evaluate(self.cpm, self.cpm.resolve("sd4match-cpm", limit=2))

    def _our_step(self) -> None:
        CountedTraining(self.cpm, self.scale.step_pairs, self.scale.training_pairs).step()

    def _their_dift(self) -> None:
        prepared, diffusion = self.setup.resolve("dift"), published_networks(self.setup)
        pair = next(iter(prepared.index.pairs.values()))
        states = torch.zeros(77, diffusion.unet.config.cross_attention_dim, device=self.device)
        source, target = (
            dift_features(diffusion, image.open(), states) for image in (pair.source, pair.target)
        )
        dift_points(source, target, pair.source_size, pair.target_size, torch.from_numpy(pair.source_points))

    def _their_cpm(self) -> None:
        prepared, diffusion = self.cpm.resolve("dift"), published_networks(self.cpm)
        pair = next(iter(prepared.index.pairs.values()))
        states = torch.zeros(77, diffusion.unet.config.cross_attention_dim, device=self.device)
        sd4match_maps(diffusion, [pair.source.open(), pair.target.open()], states)

    def _their_step(self) -> None:
        # With our networks beside them, of which the published step takes the text encoder.
        ours = CountedTraining(self.cpm, self.scale.step_pairs, self.scale.training_pairs)
        backbone = ours.job.inputs.maps._backbone
        backbone.unet.to("cpu")
        backbone.vae.to("cpu")
        PublishedTraining(ours, published_networks(self.cpm)).step()


DIFT, CPM, STEP = "dift, whole evaluation", "sd4match-cpm, whole evaluation", "sd4match-cpm, training step"
NETWORKS = "networks, and their share of the ceiling"
VAE_SHARE, UNET_SHARE = "VAE encoder, of the ceiling", "U-Net to the block that is read, of the ceiling"


def published_networks(setup: Setup) -> Diffusion:
    """The published way's networks, from our weights."""
    folder = setup.resolve("dift").weights.paths[STABLE_DIFFUSION_2_1]
    return Diffusion(folder, setup.device, setup.precision)


def attempt(call: Callable[[], Any]) -> Any:
    """What a call returns; None where memory does not suffice."""
    try:
        return call()
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        # The frames of the error hold the tensors that filled the memory.
        error.__traceback__ = None
    free_memory()
    return None


def free_memory() -> None:
    """Gives back memory that nothing uses."""
    gc.collect()
    release_memory()
