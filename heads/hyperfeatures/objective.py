"""Hyperfeatures' training with the one pass for the picture without noise."""

from __future__ import annotations

from heads.hyperfeatures.spec import ONE_STEP
from heads.hyperfeatures.training import make_objective

OBJECTIVE = make_objective(ONE_STEP, 1)
