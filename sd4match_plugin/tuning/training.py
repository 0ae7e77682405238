"""The loop of prompt tuning (paper, section 3.2). Its result follows from settings and data alone, however
often it was stopped.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch

from harness.errors import UserError
from harness.interrupts import holding_interrupts, received_signal
from harness.messages import first_line
from harness.specs import ImagePair
from harness.training.checkpoint import History, State, save
from harness.training.file_names import CHECKPOINT
from harness.training.log import Log
from harness.training.steps import Diverged, copy_state, deterministic_kernels, log_interval
from sd4match_plugin.tuning.gradients import StepGradients
from sd4match_plugin.tuning.maps import Maps
from sd4match_plugin.tuning.outputs import write_prompt_files
from sd4match_plugin.tuning.processes import Processes
from sd4match_plugin.tuning.prompting import PromptEncoder, Prompting
from sd4match_plugin.tuning.settings import Settings
from sd4match_plugin.tuning.validation import Validation


@dataclass(frozen=True)
class ExecutionOptions:
    """Options that change the speed and memory of a training; its result changes by rounding at most.

    Attributes:
        pairs_at_once: pairs that pass through the U-Net together; fewer need less memory.
        save_every: steps between checkpoints: the most work that is lost when a training is killed.
    """

    pairs_at_once: int
    save_every: int = 100


@dataclass(frozen=True, eq=False)
class TrainingInputs:
    """Everything that a training needs.

    Attributes:
        metadata: entries of the prompt files' headers, besides step and PCK.
        validation: None for a training without validation.
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
    """One training, at its beginning or as an earlier run left it.

    Args:
        state: of an earlier run; None to begin.

    Attributes:
        step: steps done.
        saved: the step of the checkpoint on disk; 0 where there is none.
    """

    def __init__(self, inputs: TrainingInputs, execution: ExecutionOptions, state: State | None) -> None:
        self._inputs, self._execution, self._settings = inputs, execution, inputs.settings
        self._processes = inputs.processes
        self._prompting = inputs.prompting
        self._module = self._prompting.module
        self._optimizer = torch.optim.Adam(self._prompting.groups(self._settings))
        self._rates = [float(group["lr"]) for group in self._optimizer.param_groups]
        # bf16 has the range of single precision and needs no scale.
        self._scaler = torch.amp.GradScaler(
            inputs.maps.device.type, enabled=self._settings.precision == "fp16"
        )
        self.gradients = StepGradients(
            self._settings,
            self._prompting,
            inputs.encoder,
            inputs.maps,
            inputs.pairs,
            inputs.processes,
            execution.pairs_at_once,
            self._scaler,
        )
        self.step = self.saved = 0
        self.history = History()
        self._best: Mapping[str, torch.Tensor] | None = None
        if state:
            self._restore(state)

    def _restore(self, state: State) -> None:
        try:
            self._module.load_state_dict(dict(state.module))
            self._optimizer.load_state_dict(dict(state.optimizer))
            self._scaler.load_state_dict(dict(state.scaler))
        except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
            # Only one of an earlier version, without a hash, can be so.
            raise UserError(
                f"{self._inputs.folder / CHECKPOINT}: does not fit this training ({first_line(error, 160)}); "
                "remove it to begin anew, or choose another --out"
            ) from error
        self.step, self.history, self._best = state.step, state.history, state.best
        self.saved = state.step

    def run(self, log: Log | None, progress: Progress = lambda step, loss: None) -> None:
        """Makes all steps that are left.

        Raises:
            Diverged: the loss is not finite.
            NotWritten: the log, the checkpoint or a prompt file; those of `saved` stay as they are.
        """
        self._write_files()
        with deterministic_kernels(self._inputs.maps.device):
            while self.step < self._settings.steps:
                self._make_step(log, progress)

    def _make_step(self, log: Log | None, progress: Progress) -> None:
        # Several processes wait for each other: none of them may end where the others go on.
        is_alone = self._processes.count == 1
        with holding_interrupts() if is_alone else nullcontext():
            with self._measure("train"):
                loss = self._update()
            self.step += 1
            self.history.recent.append(loss)
            progress(self.step, loss)
            self._after_step(log)
            if is_alone and received_signal() is not None and self.saved < self.step:
                # A batch system that takes the machine away leaves time for this, and no step is lost.
                self._save()

    def _after_step(self, log: Log | None) -> None:
        """Writes the log, validates and saves where a step is due for it."""
        step, validation = self.step, self._inputs.validation
        is_last = step == self._settings.steps
        is_validated = validation is not None and (is_last or step % self._settings.validate_every == 0)
        is_due = is_last or is_validated
        numbers = {}
        if is_due or step % log_interval(self._settings.steps) == 0:
            numbers = self._summarize()
        if validation is not None and is_validated:
            numbers["validation_pck"] = self._validate(validation)
        if log and numbers:
            log.write(step, numbers)
        if is_due or step % self._execution.save_every == 0:
            self._save()

    def _summarize(self) -> dict[str, float]:
        """The log's numbers of the steps since its last line."""
        recent, self.history.recent = self.history.recent, []
        loss = math.fsum(recent) / len(recent)
        self.history.losses.append((self.step, loss))
        rate = self._rates[0] * self._settings.factor(self.step - 1)
        return {"loss": loss, "rate": rate, "seconds_per_step": self.history.seconds["train"] / self.step}

    def _update(self) -> float:
        """Makes one step of Adam; returns the loss, the mean over the pairs of the step.

        Raises:
            Diverged: it is not finite; nothing is changed.
        """
        # The release sets gradients to zero: the prompt of an absent category has one, and Adam's momentum
        # moves it.
        self._optimizer.zero_grad(set_to_none=self._settings.recipe == "paper")
        # Losses of processes are shares of the mean over all pairs, so they add up.
        loss = math.fsum(self._processes.gather(self.gradients.accumulate(self.step)))
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

    def _validate(self, validation: Validation) -> float:
        with self._measure("validate"):
            pck = validation.pck(self._prompting)
        earlier = self.history.pck(self.history.best)
        self.history.validation.append((self.step, pck))
        if earlier is None or pck > earlier:
            self.history.best, self._best = self.step, copy_state(self._module)
        return pck

    def _save(self) -> None:
        if not self._processes.is_main:
            return
        with self._measure("save"):
            state = State(
                self.step,
                self._module.state_dict(),
                self._optimizer.state_dict(),
                self._scaler.state_dict(),
                self._best,
                self.history,
            )
            # The checkpoint comes first: prompt files that a killed run left behind it are rewritten by the
            # next run.
            save(self._inputs.folder, self._settings, state)
            self.saved = self.step
            self._write_files()

    def _write_files(self) -> None:
        """Writes `last.safetensors` and `best.safetensors`, unless no step is done yet."""
        if not self._processes.is_main or not self.step:
            return
        inputs = self._inputs
        write_prompt_files(
            inputs.folder,
            self._prompting,
            inputs.encoder,
            inputs.metadata,
            self.history,
            step=self.step,
            newest=copy_state(self._module),
            best=self._best,
        )

    @contextmanager
    def _measure(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            seconds = self.history.seconds
            seconds[stage] = seconds.get(stage, 0.0) + time.perf_counter() - start
