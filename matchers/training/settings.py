"""All settings of one training of a matcher, and how they follow from the objective's and the user's."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import pydantic

from harness.errors import UserError
from harness.messages import cut
from harness.specs import Scalar
from harness.training.settings import ResumableSettings
from matchers.training.objective import Objective, TrainingSettings

Recipe = Literal["published", "small"]
"""Whose defaults: the authors', or those for the small backbone that comes with the package."""


class Settings(ResumableSettings):
    """Everything besides the content of weights and data that a trained network depends on."""

    method: str
    dataset: str
    """The dataset's name in tables."""
    split: str
    validation_split: str | None
    """None for no validation: the newest network then counts as the best."""
    manifest: str
    """Hash of the training split: pairs, points, boxes and the pictures' content."""
    validation_manifest: str | None
    limit_train: int | None = None
    limit_validation: int | None = None
    weights: str
    """Label and hash of the weights that the training starts from."""
    recipe: Recipe
    training: TrainingSettings
    pairs: int
    """Pairs of one pass."""
    steps: int
    """In all; `training` may say epochs."""
    seed: int = 0
    validate_every: int

    @property
    def milestones(self) -> tuple[int, ...]:
        """Steps after which rates fall."""
        unit = math.ceil(self.pairs / self.training.batch) if self.training.epochs else 1
        return tuple(milestone * unit for milestone in self.training.milestones)

    def factor(self, step: int) -> float:
        """The learning rates of a step, counted from 0, divided by those that are set."""
        if self.training.decay == "cosine":
            return 0.5 + 0.5 * math.cos(math.pi * step / self.steps)
        if self.training.decay == "one-cycle":
            return _one_cycle(step, self.steps)
        return self.training.factor ** sum(step >= milestone for milestone in self.milestones)

    def may_take_more_steps(self) -> bool:
        """Where no rate and no loss looks at their number; losses may, so never."""
        return False

    def values(self) -> Mapping[str, Any]:
        """Setting -> value, each under the name that the user knows."""
        flat = self.model_dump(exclude={"training"})
        training = self.training.model_dump(exclude={"options", "steps", "epochs"})
        return {**training, **self.training.options, **flat}


RISE, BEGIN, END = 0.3, 1 / 25, 1 / 25e4
"""Of `one-cycle`: the share of steps on which the rate rises; the first and last rate over the full one."""


def _one_cycle(step: int, steps: int) -> float:
    """A step's share of the full rate, as torch's `OneCycleLR` has it."""
    top, last = RISE * steps - 1, steps - 1
    if step <= top and top > 0:
        return _between(BEGIN, 1.0, step / top)
    return _between(1.0, END, min(1.0, (step - top) / max(last - top, 1e-9)))


def _between(start: float, end: float, share: float) -> float:
    """A value on the half cosine from one number to another."""
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))


def count_steps(training: TrainingSettings, pairs: int) -> int:
    """Steps of a training over so many pairs."""
    if training.steps is not None:
        return training.steps
    return (training.epochs or 1) * math.ceil(pairs / training.batch)


def choose_settings(
    objective: Objective, recipe: Recipe, changes: Mapping[str, Any], options: Mapping[str, str]
) -> TrainingSettings:
    """An objective's settings with the user's in place.

    Args:
        changes: fields of `TrainingSettings`; None for those that stay as they are.
        options: the method's own, as typed after `--set`.

    Raises:
        UserError: an option is unknown, or has a value of another kind.
    """
    base = objective.published if recipe == "published" else objective.small
    own: dict[str, Scalar] = dict(base.options)
    given: dict[str, Any] = {name: value for name, value in changes.items() if value is not None}
    for name, text in options.items():
        if name in own:
            own[name] = _read_value(name, text, own[name])
        elif name in TrainingSettings.model_fields and name not in ("options", "supervision"):
            given[name] = text.split(",") if name == "milestones" else text
        else:
            known = ", ".join(sorted({*own, *_FURTHER}))
            raise UserError(f"--set {name}: method '{objective.method}' has no such setting; it has {known}")
    if "steps" in given:
        given["epochs"] = None
    elif "epochs" in given:
        given["steps"] = None
    try:
        chosen = TrainingSettings.model_validate({**base.model_dump(), **given, "options": own})
        return chosen if "milestones" in given else _with_milestones_moved(base, chosen)
    except pydantic.ValidationError as error:
        problem = error.errors()[0]
        name = ".".join(map(str, problem["loc"]))
        raise UserError(
            f"--set {name}: {problem['input']!r} is not a value of it ({cut(problem['msg'])})"
        ) from error


def _with_milestones_moved(base: TrainingSettings, chosen: TrainingSettings) -> TrainingSettings:
    """Milestones at the same shares of a training whose length the user has changed."""
    before, now = base.steps or base.epochs or 1, chosen.steps or chosen.epochs or 1
    moved = tuple(round(milestone * now / before) for milestone in base.milestones)
    return chosen.model_copy(update={"milestones": moved})


_FURTHER = tuple(
    name for name in TrainingSettings.model_fields if name not in ("options", "supervision", "batch", "rate")
)
"""Fields that --set knows besides the method's own options."""


def _read_value(name: str, text: str, default: Scalar) -> Scalar:
    """Reads an option in the kind of its default. Raises `UserError`."""
    try:
        if isinstance(default, bool):
            return {"true": True, "false": False}[text.lower()]
        if isinstance(default, int):
            return int(text)
        if isinstance(default, float):
            value = float(text)
            if not math.isfinite(value):
                raise ValueError(text)
            return value
    except (ValueError, KeyError):
        kind = {bool: "true or false", int: "a whole number"}.get(type(default), "a number")
        raise UserError(f"--set {name}: '{text}' is not {kind}") from None
    return text
