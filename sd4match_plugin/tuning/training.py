"""Prompt tuning (paper, section 3.2): the loop. What it gives follows from its settings and data alone, however often it was stopped."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from harness.errors import BenchError
from harness.specs import ImagePair
from sd4match_plugin.prompts import files
from sd4match_plugin.prompts.prompt_file import BEST, PromptFile
from sd4match_plugin.tuning.checkpoint import History, State, save
from sd4match_plugin.tuning.loss import matching_loss
from sd4match_plugin.tuning.maps import Maps
from sd4match_plugin.tuning.pairs import PairOrder, points_of
from sd4match_plugin.tuning.processes import Processes
from sd4match_plugin.tuning.prompting import Conditional, Learned, PromptEncoder, Prompting
from sd4match_plugin.tuning.record import Log
from sd4match_plugin.tuning.settings import Settings
from sd4match_plugin.tuning.validation import Validation

LAST = "last.safetensors"

MILESTONES = 60
"""Lines of the log over a whole training, but no step has more than one and every 100th has one."""


class Diverged(BenchError):
    """The loss is not finite. The last checkpoint is as it was."""


@dataclass(frozen=True)
class ExecutionOptions:
    """What changes how a training goes, and not what it gives but by rounding.

    Attributes:
        pairs_at_once: pairs that pass through the U-Net together; fewer need less memory.
        save_every: steps between checkpoints: the most work that a kill costs.
    """

    pairs_at_once: int
    save_every: int = 100


@dataclass(frozen=True, eq=False)
class TrainingInputs:
    """What a training works with.

    Attributes:
        metadata: what prompt files say of their making, besides step and PCK.
        validation: None for none.
    """

    settings: Settings
    prompting: Prompting
    encoder: PromptEncoder
    maps: Maps
    pairs: Sequence[ImagePair]
    validation: Validation | None
    processes: Processes
    folder: Path
    metadata: Mapping[str, str]


Progress = Callable[[int, float], None]
"""Called with steps done and the last loss."""


class Training:
    """One training, from where it stands.

    Args:
        state: of an earlier run; None to begin.
    """

    def __init__(self, material: TrainingInputs, habits: ExecutionOptions, state: State | None) -> None:
        self._material, self._habits, self._settings = material, habits, material.settings
        self._processes = material.processes
        self._prompting = material.prompting
        self._module = self._prompting.module
        # What averages gradients over processes must be called itself; calling the module inside would leave each with its own.
        self._called = self._processes.wrapped(self._module, find_unused=self._prompting.partial)
        self._optimizer = torch.optim.Adam(self._prompting.groups(self._settings))
        self._rates = [float(group["lr"]) for group in self._optimizer.param_groups]
        self._scaler = torch.amp.GradScaler(
            material.maps.device.type, enabled=self._settings.precision == "fp16"
        )
        self._order = PairOrder(len(material.pairs), self._settings.seed)
        self.step, self.history = 0, History()
        self._best: Mapping[str, torch.Tensor] | None = None
        if state:
            self._restore(state)

    def _restore(self, state: State) -> None:
        self._module.load_state_dict(dict(state.module))
        self._optimizer.load_state_dict(dict(state.optimizer))
        self._scaler.load_state_dict(dict(state.scaler))
        self.step, self.history, self._best = state.step, state.history, state.best

    # ------------------------------------------------------------------------------------------------------------- the loop

    def run(self, log: Log | None, progress: Progress = lambda step, loss: None) -> None:
        """Goes on to the last step.

        Raises:
            Diverged: the loss is not finite.
        """
        self._write_files()
        with _same_bytes(self._material.maps.device):
            while self.step < self._settings.steps:
                with self._timed("train"):
                    loss = self._update()
                self.step += 1
                self.history.recent.append(loss)
                progress(self.step, loss)
                self._after_step(log)

    def _after_step(self, log: Log | None) -> None:
        settings, final = self._settings, self.step == self._settings.steps
        validated = bool(self._material.validation) and (final or self.step % settings.validate_every == 0)
        numbers = self._summary() if final or validated or self.step % self._pace == 0 else {}
        if validated:
            numbers["validation_pck"] = self._validate()
        if log and numbers:
            log.write(self.step, numbers)
        if final or validated or self.step % self._habits.save_every == 0:
            self._save()

    @property
    def _pace(self) -> int:
        return max(1, min(100, self._settings.steps // MILESTONES))

    def _summary(self) -> dict[str, float]:
        """What the log says of the steps since its last line."""
        recent, self.history.recent = self.history.recent, []
        loss = math.fsum(recent) / len(recent)
        self.history.losses.append((self.step, loss))
        rate = self._rates[0] * self._settings.factor(self.step - 1)
        return {"loss": loss, "rate": rate, "seconds_per_step": self.history.seconds["train"] / self.step}

    # ----------------------------------------------------------------------------------------------------------- one update

    def _update(self) -> float:
        """One step of Adam; returns the loss, the mean over the pairs of the step.

        Raises:
            Diverged: it is not finite; nothing is changed.
        """
        # The release zeroes gradients, so that a prompt whose category is absent has one of zero, and Adam's momentum moves it.
        self._optimizer.zero_grad(set_to_none=self._settings.recipe == "paper")
        # Losses of processes are shares of the mean over all pairs, so they add up.
        loss = math.fsum(self._processes.gather(self._backward()))
        if not math.isfinite(loss):
            raise Diverged(
                f"the loss is {loss} at step {self.step + 1}; the checkpoint of an earlier step is kept. "
                "Try a lower --rate, or --precision fp32, with another --out"
            )
        for group, rate in zip(self._optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * self._settings.factor(self.step)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        return loss

    def _backward(self) -> float:
        """Gradients of this process's share of the step's pairs, averaged over processes; returns its share of the loss."""
        settings, count = self._settings, self._settings.pairs_per_step
        share = self._processes.share(count)
        numbers = self._order.numbers(self.step * settings.batch, count)
        pairs = list(enumerate(self._material.pairs[number] for number in numbers))[share]
        keys = list(dict.fromkeys(key for _, pair in pairs for key in self._prompting.keys(pair)))
        rows = self._prompting.rows(self._called, keys)
        # A slice of the whole prompts' gradient, which buckets of gradients want packed.
        rows.register_hook(lambda gradient: gradient.clone(memory_format=torch.contiguous_format))
        states = self._material.encoder(rows)
        # Prompts are made once; what the U-Net's passes say about them is summed here and sent back through their making at once.
        leaf = states.detach().float().requires_grad_()
        total = 0.0
        for first in range(0, len(pairs), self._habits.pairs_at_once):
            some = pairs[first : first + self._habits.pairs_at_once]
            loss = self._loss(some, keys, leaf) * (len(some) / count)
            # Processes are averaged, and each has a part of the pairs.
            self._scaler.scale(loss * self._processes.count).backward()
            total += float(loss.detach())
        states.backward(leaf.grad.to(states.dtype) if leaf.grad is not None else torch.zeros_like(states))
        return total

    def _loss(
        self, pairs: Sequence[tuple[int, ImagePair]], keys: Sequence[Any], states: torch.Tensor
    ) -> torch.Tensor:
        """Mean loss of a few pairs, each with its place in the whole batch."""
        maps = self._material.maps
        images = [pair.source for _, pair in pairs] + [pair.target for _, pair in pairs]
        places = [f"{place} {side}" for side in ("source", "target") for place, _ in pairs]
        noisy = maps.drawn([image.identity() for image in images], self.step, places)
        both = [self._prompting.keys(pair) for _, pair in pairs]
        rows = [keys.index(source) for source, _ in both] + [keys.index(target) for _, target in both]
        source, target = maps(noisy, states[rows]).split(len(pairs))
        points = points_of([pair for _, pair in pairs], maps.frame)
        settings = self._settings
        return matching_loss(
            source,
            target,
            points.source,
            points.target,
            points.counts,
            maps.frame,
            maps.frame,
            settings.temperature,
            settings.kernel,
        )

    # ---------------------------------------------------------------------------------------------------- keeping what it gave

    def _validate(self) -> float:
        if self._material.validation is None:
            raise ValueError("no validation pairs")
        with self._timed("validate"):
            pck = self._material.validation.pck(self._prompting)
        earlier = self.history.pck(self.history.best)
        self.history.validation.append((self.step, pck))
        if earlier is None or pck > earlier:
            self.history.best, self._best = self.step, self._copied()
        return pck

    def _save(self) -> None:
        if not self._processes.main:
            return
        with self._timed("save"):
            state = State(
                self.step,
                self._module.state_dict(),
                self._optimizer.state_dict(),
                self._scaler.state_dict(),
                self._best,
                self.history,
            )
            # First the checkpoint: a prompt's file that a kill left behind is put right when the training goes on.
            save(self._material.folder, self._settings, state)
            self._write_files()

    def _write_files(self) -> None:
        """`last.safetensors` and `best.safetensors`, as they stand."""
        if not self._processes.main or not self.step:
            return
        history, now = self.history, self._copied()
        # Without validation the newest prompt counts as the best.
        for name, state, step in (
            (LAST, now, self.step),
            (BEST, self._best or now, history.best or self.step),
        ):
            metadata = {**self._material.metadata, "step": str(step)}
            if (pck := history.pck(step)) is not None:
                metadata["validation_pck"] = f"{pck:.6f}"
            files.write(
                self._material.folder / name,
                _prompt_file(self._prompting, self._material.encoder, state, metadata),
            )

    def _copied(self) -> dict[str, torch.Tensor]:
        return {name: tensor.detach().clone() for name, tensor in self._module.state_dict().items()}

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            seconds = self.history.seconds
            seconds[stage] = seconds.get(stage, 0.0) + time.perf_counter() - start


def _prompt_file(
    prompting: Prompting,
    encoder: PromptEncoder,
    state: Mapping[str, torch.Tensor],
    metadata: Mapping[str, str],
) -> PromptFile:
    """A module's state as a file holds it."""
    if isinstance(prompting, Conditional):
        return PromptFile("cpm", config=prompting.config, state=state, metadata=metadata)
    if not isinstance(prompting, Learned):
        raise TypeError(f"no file for a {type(prompting).__name__}")
    names = prompting.names
    rows = {name: state[f"rows.{number}"][0] for number, name in enumerate(names)}
    return PromptFile(
        "class" if prompting.index else "single", prompts=encoder.prompts(rows), metadata=metadata
    )


@contextmanager
def _same_bytes(device: torch.device) -> Iterator[None]:
    """On a GPU, kernels that add in a fixed order, so that a training that was stopped gives the bytes of one that was not."""
    if device.type != "cuda":
        yield
        return
    before, warned = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with warnings.catch_warnings():
            # Pooling's gradient is said to be out of order; with windows that share at most one patch, it is a sum of two numbers.
            warnings.filterwarnings("ignore", message=".*does not have a deterministic implementation")
            yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warned)
