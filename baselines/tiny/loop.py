"""A training loop that can be stopped and continued, and gives the weights of an undisturbed training."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.files import replacing

if TYPE_CHECKING:
    import torch

Losses = dict[str, "torch.Tensor"]
"""Named losses of a step; "loss" is minimised."""

LOG_EVERY = 100
"""Steps between two lines of the log."""


@dataclass(frozen=True)
class Schedule:
    """Length and learning rate of a training.

    Attributes:
        steps: in all.
        rate: AdamW's learning rate after `warmup` steps; it falls to a hundredth over the last `decay` share
            of all steps.
        average: largest decay of the running mean of the weights; that mean is the result.
        clip: largest norm of the gradient.
    """

    steps: int
    rate: float
    warmup: int = 100
    decay: float = 0.25
    average: float = 0.999
    clip: float = 1.0

    def at(self, step: int) -> float:
        """The learning rate of a step."""
        left = (self.steps - step) / max(1.0, self.decay * self.steps)
        rise = min(1.0, (step + 1) / self.warmup)
        # Half a cosine, from 1 at the start of the decay to 0 at the end.
        share = 0.5 - 0.5 * math.cos(math.pi * min(1.0, left))
        fall = 0.01 + 0.99 * share
        return self.rate * rise * fall


def train(
    model: torch.nn.Module,
    losses_of: Callable[[int, torch.Generator], Losses],
    schedule: Schedule,
    folder: Path,
    save_every: int = 200,
) -> None:
    """Trains `model` in place and leaves it with its averaged weights.

    Args:
        losses_of: step, and a generator that belongs to it -> named losses; "loss" is minimised. All random
            numbers must come from the generator: that makes an interrupted training the same as an
            undisturbed one.
        folder: holds `checkpoint.pt` and `log.jsonl`. Training continues from an existing checkpoint.
    """
    import torch
    from tqdm import tqdm

    folder.mkdir(parents=True, exist_ok=True)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=schedule.rate, betas=(0.9, 0.99), weight_decay=0.01)
    mean = [parameter.detach().clone() for parameter in parameters]
    first_step, seconds_before = _resume(folder / "checkpoint.pt", model, optimizer, mean)
    start = time.perf_counter()
    sums: dict[str, float] = {}
    steps = tqdm(
        range(first_step, schedule.steps),
        initial=first_step,
        total=schedule.steps,
        desc=folder.name,
        disable=None,
    )
    for step in steps:
        # A generator for each step, so that a resumed training draws what an undisturbed one does.
        generator = torch.Generator().manual_seed(1_000_003 * (step + 1))
        losses = losses_of(step, generator)
        for group in optimizer.param_groups:
            group["lr"] = schedule.at(step)
        optimizer.zero_grad()
        losses["loss"].backward()
        torch.nn.utils.clip_grad_norm_(parameters, schedule.clip)
        optimizer.step()
        # In the first steps the mean follows quickly, since it began with random weights.
        weight = 1 - min(schedule.average, (step + 1) / (step + 10))
        current = [parameter.detach() for parameter in parameters]
        torch._foreach_lerp_(mean, current, weight)
        for name, value in losses.items():
            sums[name] = sums.get(name, 0.0) + float(value.detach())
        seconds = seconds_before + time.perf_counter() - start
        if (step + 1) % LOG_EVERY == 0:
            _log(folder / "log.jsonl", step + 1, seconds, sums)
        if (step + 1) % save_every == 0 or step + 1 == schedule.steps:
            _save(folder / "checkpoint.pt", model, optimizer, mean, step + 1, seconds)
    with torch.no_grad():
        for parameter, average in zip(parameters, mean, strict=True):
            parameter.copy_(average)


def _log(
    path: Path,
    step: int,
    seconds: float,
    sums: dict[str, float],
) -> None:
    """Appends the means of losses over the last steps to the log, and starts new sums."""
    entry: dict[str, float] = {"step": step, "seconds": round(seconds)}
    for name, value in sums.items():
        entry[name] = round(value / LOG_EVERY, 5)
    line = json.dumps(entry)
    with path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    sums.clear()


def _save(
    path: Path,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    mean: list[torch.Tensor],
    step: int,
    seconds: float,
) -> None:
    """Writes a checkpoint."""
    import torch

    # Replaced as a whole: a training that is stopped while it writes keeps the last checkpoint.
    with replacing(path) as file:
        state = {
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "mean": mean,
            "step": step,
            "seconds": seconds,
        }
        torch.save(state, file)


def _resume(
    path: Path,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    mean: list[torch.Tensor],
) -> tuple[int, float]:
    """Loads a checkpoint if there is one.

    Returns:
        the step to continue with and the seconds spent so far.
    """
    import torch

    if not path.is_file():
        return 0, 0.0
    state = torch.load(path, weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    for average, saved in zip(mean, state["mean"], strict=True):
        average.copy_(saved)
    return int(state["step"]), float(state["seconds"])
