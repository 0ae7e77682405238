"""The loop of a training.

Its result follows from settings, weights and data alone, however often it was stopped.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from harness.errors import UserError
from harness.files import file_sha256
from harness.interrupts import holding_interrupts, received_signal
from harness.messages import first_line
from harness.specs import Scalar
from harness.training.checkpoint import History, State, save
from harness.training.file_names import BEST, CHECKPOINT, LAST
from harness.training.log import Log
from harness.training.steps import Diverged, copy_state, deterministic_kernels, log_interval
from matchers.backbones.checkpoints import save_checkpoint
from matchers.training.inputs import BatchMaker, seeded
from matchers.training.objective import Losses, Objective
from matchers.training.settings import Settings
from matchers.training.validation import Validation

Progress = Callable[[int, float], None]
"""Called with steps done and the last loss."""


@dataclass(frozen=True, eq=False)
class TrainingParts:
    """Everything that a training needs.

    Attributes:
        network: as it starts.
        validation: measures LAST; None for a training without validation.
        facts: of the making, for the files' settings; equal for two equal trainings.
        save_every: steps between checkpoints: the most work that is lost when a training is killed.
    """

    objective: Objective
    settings: Settings
    network: nn.Module
    batches: BatchMaker
    validation: Validation | None
    folder: Path
    device: torch.device
    facts: Mapping[str, Scalar]
    save_every: int


class Training:
    """One training, at its beginning or as an earlier run left it.

    Args:
        state: of an earlier run; None to begin.

    Attributes:
        step: steps done.
        saved: the step of the checkpoint on disk; 0 where there is none.
        history: losses, validations and times.
    """

    def __init__(self, parts: TrainingParts, state: State | None) -> None:
        self._parts, self._settings = parts, parts.settings
        self._network = parts.network
        groups = parts.objective.groups(self._network)
        training = self._settings.training
        chosen = [
            (parameters, rate)
            for parameters, rate in (
                (groups.head, training.rate),
                (groups.backbone, training.backbone_rate),
            )
            if parameters and rate
        ]
        self._trained = [parameter for parameters, _ in chosen for parameter in parameters]
        is_trained = set(map(id, self._trained))
        for parameter in self._network.parameters():
            parameter.requires_grad_(id(parameter) in is_trained)
        self._rates = [rate for _, rate in chosen]
        self._optimizer = _make_optimizer(self._settings, chosen)
        self.step = self.saved = 0
        self.history = History()
        self._best: Mapping[str, Tensor] | None = None
        # Of the log alone: they begin anew where a training goes on.
        self._parts_recent: dict[str, list[float]] = {}
        if state:
            self._restore(state)

    @property
    def trained_parameters(self) -> int:
        """Numbers that the optimiser moves."""
        return sum(parameter.numel() for parameter in self._trained)

    @property
    def files(self) -> dict[str, str]:
        """File -> sha256, of the weights that lie in the folder."""
        paths = [self._parts.folder / name for name in (BEST, LAST)]
        return {path.name: file_sha256(path) for path in paths if path.exists()}

    def run(self, log: Log | None, progress: Progress = lambda step, loss: None) -> None:
        """Makes all steps that are left.

        Raises:
            Diverged: the loss is not finite.
            NotWritten: the log, the checkpoint or a file of weights; those of `saved` stay as they are.
        """
        if self._parts.validation and not self.history.validation:
            # What the method gives before it has learned anything, to tell whether it learns.
            self._write(LAST, copy_state(self._network), 0)
            with self._measure("validate"):
                self.history.validation.append((0, self._parts.validation.pck()))
        with deterministic_kernels(self._parts.device):
            while self.step < self._settings.steps:
                self._make_step(log, progress)
        self._write_files()

    def _make_step(self, log: Log | None, progress: Progress) -> None:
        with holding_interrupts():
            with self._measure("train"):
                loss = self._update()
            self.step += 1
            self.history.recent.append(loss)
            progress(self.step, loss)
            self._after_step(log)
            if received_signal() is not None and self.saved < self.step:
                # A batch system that takes the machine away leaves time for this, and no step is lost.
                self._save()

    def _update(self) -> float:
        """Makes one step of the optimiser; returns the loss. Raises `Diverged` where it is not finite."""
        parts, settings, step = self._parts, self._settings, self.step
        batch = parts.batches.make(step)
        # Dropout and the like draw from the global generator: every step begins it anew.
        torch.manual_seed(seeded("step", settings.seed, step).initial_seed())
        self._network.train()
        losses = parts.objective.loss(
            self._network, batch, settings.training, seeded("loss", settings.seed, step)
        )
        loss = float(losses["loss"].detach())
        if not math.isfinite(loss):
            raise Diverged(
                f"the loss is {loss} at step {step + 1}; the checkpoint of an earlier step is kept. "
                "Try a lower --rate, with another --out"
            )
        self._optimizer.zero_grad(set_to_none=True)
        losses["loss"].backward()
        if settings.training.clip:
            torch.nn.utils.clip_grad_norm_(self._trained, settings.training.clip)
        for group, rate in zip(self._optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * settings.factor(step)
        self._optimizer.step()
        parts.objective.after_step(self._network, batch, settings.training)
        self._note_parts(losses)
        return loss

    def _note_parts(self, losses: Losses) -> None:
        for name, value in losses.items():
            if name != "loss":
                self._parts_recent.setdefault(name, []).append(float(value.detach()))

    def _after_step(self, log: Log | None) -> None:
        """Writes the log, validates and saves where a step is due for it."""
        step, settings = self.step, self._settings
        is_last = step == settings.steps
        is_validated = self._parts.validation is not None and (is_last or step % settings.validate_every == 0)
        numbers: dict[str, float] = {}
        if is_last or is_validated or step % log_interval(settings.steps) == 0:
            numbers = self._summarize()
        if is_validated:
            numbers["validation_pck"] = self._validate()
        if log and numbers:
            log.write(step, numbers)
        if is_last or is_validated or step % self._parts.save_every == 0:
            self._save()

    def _summarize(self) -> dict[str, float]:
        """The log's numbers of the steps since its last line."""
        recent, self.history.recent = self.history.recent, []
        parts, self._parts_recent = self._parts_recent, {}
        loss = math.fsum(recent) / len(recent)
        self.history.losses.append((self.step, loss))
        rate = self._rates[0] * self._settings.factor(self.step - 1)
        means = {f"loss_{name}": math.fsum(values) / len(values) for name, values in parts.items()}
        seconds = self.history.seconds["train"] / self.step
        return {"loss": loss, **means, "rate": rate, "seconds_per_step": seconds}

    def _validate(self) -> float:
        assert self._parts.validation is not None
        with self._measure("validate"):
            # The file as it will be used is what is measured.
            self._write(LAST, copy_state(self._network), self.step)
            pck = self._parts.validation.pck()
        earlier = self.history.pck(self.history.best)
        self.history.validation.append((self.step, pck))
        if earlier is None or pck > earlier:
            self.history.best, self._best = self.step, copy_state(self._network)
        return pck

    def _save(self) -> None:
        with self._measure("save"):
            # The checkpoint comes first: files that a killed run left behind it are written again.
            save(self._parts.folder, self._settings, self._state())
            self.saved = self.step
            self._write_files()

    def _state(self) -> State:
        return State(
            self.step,
            self._network.state_dict(),
            self._optimizer.state_dict(),
            {},
            self._best,
            self.history,
        )

    def _restore(self, state: State) -> None:
        try:
            self._network.load_state_dict(dict(state.module))
            self._optimizer.load_state_dict(dict(state.optimizer))
        except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"{self._parts.folder / CHECKPOINT}: does not fit this training ({first_line(error, 160)}); "
                "remove it to begin anew, or choose another --out"
            ) from error
        self.step, self.history, self._best = state.step, state.history, state.best
        self.saved = state.step

    def _write_files(self) -> None:
        """Writes `last.safetensors` and `best.safetensors`."""
        newest = copy_state(self._network)
        self._write(LAST, newest, self.step)
        self._write(BEST, self._best or newest, self.history.best or self.step)

    def _write(self, name: str, state: Mapping[str, Tensor], step: int) -> None:
        """Writes a state of the network in the form of the authors' files."""
        parts = self._parts
        now = copy_state(self._network)
        try:
            self._network.load_state_dict(dict(state))
            tensors, settings = parts.objective.checkpoint(self._network, self._settings.training)
            save_checkpoint(parts.folder / name, tensors, {**settings, **parts.facts, "step": step})
        finally:
            self._network.load_state_dict(now)

    @contextmanager
    def _measure(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            seconds = self.history.seconds
            seconds[stage] = seconds.get(stage, 0.0) + time.perf_counter() - start


def _make_optimizer(
    settings: Settings, chosen: list[tuple[list[nn.Parameter], float]]
) -> torch.optim.Optimizer:
    training = settings.training
    groups = [{"params": parameters, "lr": rate} for parameters, rate in chosen]
    if training.optimizer == "sgd":
        return torch.optim.SGD(groups, momentum=training.momentum, weight_decay=training.weight_decay)
    kind = torch.optim.AdamW if training.optimizer == "adamw" else torch.optim.Adam
    return kind(groups, weight_decay=training.weight_decay)
