"""DDIM inversion: the deterministic path from a picture's latents to noise.

After Song et al., "Denoising Diffusion Implicit Models", ICLR 2021, with the steps of Luo et al., "Diffusion
Hyperfeatures", NeurIPS 2023.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from harness.errors import UserError

PICTURE = -1
"""Stands for the timestep of latents without noise."""


class Step(NamedTuple):
    """One pass through the U-Net.

    Attributes:
        start: timestep of the latents, which the U-Net is told.
        goal: timestep that they are brought to.
        number: the authors' number of the step, which counts as generation would: 0 is the last one.
    """

    start: int
    goal: int
    number: int


def plan_inversion(timesteps: int, steps: int) -> list[Step]:
    """Steps from the picture to noise.

    Args:
        timesteps: of the noise schedule that the U-Net was trained with.
        steps: passes through the U-Net; their timesteps are equally far apart, from 0 on.

    Raises:
        UserError: there are not so many steps.
    """
    if not 1 <= steps <= timesteps:
        raise UserError(
            f"steps: {steps} is not a number of passes through a U-Net with {timesteps} timesteps; "
            f"give 1 to {timesteps}"
        )
    stride = timesteps // steps
    goals = [stride * number for number in range(steps)]
    starts = [PICTURE, *goals[:-1]]
    numbers = reversed(range(steps))
    return [Step(*step) for step in zip(starts, goals, numbers, strict=True)]


def keep_numbers(steps: int, every: int) -> frozenset[int]:
    """Numbers of the steps whose features are kept: each `every`-th from 0, and the highest.

    Raises:
        UserError: `every` is below 1.
    """
    if every < 1:
        raise UserError(f"every: {every} is no distance between steps; give a whole number from 1")
    return frozenset({*range(0, steps, every), steps - 1})


def signal_at(signals: Tensor, timestep: int) -> Tensor:
    """Share of the signal in the variance of latents at a timestep; all of it without noise.

    Args:
        signals: (timesteps) cumulative products of the schedule.
    """
    return signals.new_ones(()) if timestep == PICTURE else signals[timestep]


def invert_step(latents: Tensor, predicted: Tensor, signals: Tensor, step: Step, prediction: str) -> Tensor:
    """Latents at the goal of a step.

    Args:
        latents: (n, 4, h, w) at its start.
        predicted: the U-Net's output for them, of the same shape.
        signals: (timesteps) cumulative products of the schedule.
        prediction: what the U-Net predicts, `epsilon` or `v_prediction`.
    """
    signal, next_signal = (signal_at(signals, time).to(latents) for time in (step.start, step.goal))
    if prediction == "v_prediction":
        clean = signal.sqrt() * latents - (1 - signal).sqrt() * predicted
        noise = signal.sqrt() * predicted + (1 - signal).sqrt() * latents
    else:
        clean = (latents - (1 - signal).sqrt() * predicted) / signal.sqrt()
        noise = predicted
    return next_signal.sqrt() * clean + (1 - next_signal).sqrt() * noise


def last_kept(plan: Sequence[Step], kept: frozenset[int]) -> int:
    """Number of steps of a plan that are needed for all that is kept."""
    return 1 + max(index for index, step in enumerate(plan) if step.number in kept)
