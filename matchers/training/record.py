"""The record of the training of a matcher."""

from __future__ import annotations

from harness.training.record import TrainingFacts
from matchers.training.objective import TrainingSettings
from matchers.training.settings import Settings


class MatcherRecord(TrainingFacts):
    """The making of a matcher's weights, as `record.json` holds it."""

    settings: Settings
    published: TrainingSettings
    """The authors' settings, as far as they are known."""
    source: str
    """Weight source that the files are for."""
    notes: str = ""
    """Where the loss departs from the authors' program."""
    files: dict[str, str]
    """File -> sha256, of what the training wrote last."""
