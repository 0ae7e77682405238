"""The record of the tuning of a prompt."""

from __future__ import annotations

from harness.training.record import TrainingFacts
from sd4match_plugin.tuning.settings import Settings


class TrainingRecord(TrainingFacts):
    """The making of a prompt, as `record.json` holds it."""

    settings: Settings
    processes: int
    pairs_at_once: int
    """Pairs that passed through the U-Net at once in each process."""
    checkpointing: bool
    encoded_images: int
    """Pictures that this run had to encode; the others were in the cache."""
