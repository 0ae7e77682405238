"""Hyperfeatures' training at the eleven steps that its recipe keeps of fifty."""

from __future__ import annotations

from dataclasses import replace

from heads.hyperfeatures.inversion import keep_numbers
from heads.hyperfeatures.spec import EVERY, SOURCE, STEPS
from heads.hyperfeatures.training import SMALL, make_objective

# Half the pairs of the one-step network's: a step of training looks at eleven times as many features.
OBJECTIVE = replace(
    make_objective(SOURCE, len(keep_numbers(STEPS, EVERY))),
    small=SMALL.model_copy(update={"batch": 2, "steps": 150}),
)
