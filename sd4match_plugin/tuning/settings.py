"""The settings of prompt tuning, as data: the defaults are the paper's."""

from __future__ import annotations

import math
from typing import Literal

from harness.errors import UserError
from harness.training.settings import ResumableSettings

METHODS = ("sd4match-single", "sd4match-class", "sd4match-cpm")

RELEASE_PROCESSES = 3
"""GPUs of the published training. Without synchronisation: each had a third of the batch and a prompt."""

USER_SETTINGS = (
    *("timestep", "temperature", "kernel", "batch", "steps", "rate", "linear_rate", "rate_decay", "warmup"),
    *("init", "tokens", "ablation", "gate", "recipe", "precision", "seed"),
)
"""Settings that the user chooses; the others follow from method, data and weights."""

Method = Literal["sd4match-single", "sd4match-class", "sd4match-cpm"]

Precision = Literal["fp32", "bf16", "fp16"]


class Settings(ResumableSettings):
    """Everything besides the content of weights and data that a tuned prompt depends on (paper, section 4.1).

    A training goes on from a checkpoint under equal settings only.
    """

    method: Method
    dataset: str
    """The dataset's name in tables."""
    split: str
    validation_split: str | None
    """None for no validation: the newest prompt then counts as the best."""
    manifest: str
    """Hash of the training split: pairs, points, boxes and the pictures' content."""
    validation_manifest: str | None
    limit_train: int | None = None
    limit_validation: int | None = None
    weights: str
    """Labels and hash of the backbones' files."""
    timestep: int = 261
    level: str = "up-block 1"
    resample: str = "bicubic"
    temperature: float = 0.04
    kernel: int = 7
    """Side in grid positions of the Gaussian that smooths the true position."""
    batch: int = 9
    """Pairs of one step, over all processes."""
    steps: int = 30_000
    rate: float = 1e-2
    linear_rate: float = 1e-3
    """Learning rate of the conditional prompting module's linear layers."""
    rate_decay: Literal["constant", "cosine"] = "constant"
    warmup: int = 0
    """Steps over which the rate rises to its value."""
    init: Literal["random", "empty", "text"] = "random"
    """First tokens of Single and Class: random ones, those of the empty text, or those of "a photo of a",
    which for Class ends in the category."""
    tokens: int = 75
    """N of Single and Class."""
    ablation: str = ""
    """Case of the paper's Fig. 3(a), for the conditional prompting module."""
    gate: Literal["release", "paper"] = "release"
    position_offset: float | None = None
    """Cells added to the grid of a DINO's positions for descriptors of the conditional prompting module
    (`baselines.vit.positions`). None for Single and Class, and in checkpoints from before it was a setting,
    when it was 0."""
    recipe: Literal["paper", "release"] = "paper"
    """`paper`: gradients are averaged over the whole batch, and a prompt whose category is absent from it
    stays as it is.

    `release`: as in the published code. Its three processes never synchronise and the prompt of process 0 is
    kept, so a step sees the first third of the batch only; gradients are set to zero instead of being
    dropped, so that Adam's momentum goes on moving the prompts of absent categories."""
    precision: Precision = "fp32"
    seed: int = 0
    validate_every: int

    @property
    def pairs_per_step(self) -> int:
        """Number of pairs in a step's gradient, which is a mean over them."""
        return self.batch // RELEASE_PROCESSES if self.recipe == "release" else self.batch

    def factor(self, step: int) -> float:
        """The learning rate of a step, counted from 0, divided by the rate that is set."""
        decay = 1.0
        if self.rate_decay == "cosine":
            decay = 0.5 + 0.5 * math.cos(math.pi * step / self.steps)
        return decay * min(1.0, (step + 1) / max(1, self.warmup))

    def may_take_more_steps(self) -> bool:
        """At a constant rate, which does not depend on their number."""
        return self.rate_decay == "constant"

    def check(self) -> None:
        """Raises `UserError` for settings that contradict each other."""
        if self.recipe == "release" and self.batch % RELEASE_PROCESSES:
            raise UserError(
                f"--batch-size {self.batch} is not a multiple of the {RELEASE_PROCESSES} processes "
                "of --recipe release"
            )
        if self.kernel % 2 == 0:
            raise UserError(
                f"--kernel {self.kernel}: the Gaussian's side is an odd number of grid positions, such as 7"
            )
        if self.method == "sd4match-cpm" and self.init != "random":
            raise UserError(
                "--init is for sd4match-single and sd4match-class; "
                "the conditional prompting module starts at random"
            )
        if self.method == "sd4match-cpm" and self.tokens != type(self).model_fields["tokens"].default:
            raise UserError(
                "--tokens is for sd4match-single and sd4match-class; "
                "--ablation chooses those of the conditional prompting module"
            )
        if self.method != "sd4match-cpm" and (self.ablation or self.gate != "release"):
            raise UserError(
                f"--{'ablation' if self.ablation else 'gate'} is for sd4match-cpm, not for {self.method}"
            )
