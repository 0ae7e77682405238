"""Sources of the small heads that come with the package, in the authors' tensor names."""

from __future__ import annotations

from pathlib import Path

from harness.specs import NetworkTraining, WeightSource
from matchers.weights import bundled_source

BUNDLED = Path(__file__).parent / "tiny"
"""Folder of the small weights."""


def read_training(path: Path) -> NetworkTraining:
    """What a head's file says of its training; nothing for an authors' file. Raises `UserError`."""
    from matchers.backbones.checkpoints import training_in

    return training_in(path)


def bundled_head(name: str, description: str) -> WeightSource:
    """The source `tiny-NAME`: `NAME.safetensors`, a head that was trained on `shapes`."""
    return bundled_source(name, description, BUNDLED, read_training)
