"""Sources of the small heads that come with the package, in the authors' tensor names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from harness.citations import HARNESS
from harness.errors import UserError
from harness.specs import NetworkTraining, WeightSource

BUNDLED = Path(__file__).parent / "tiny"
"""Folder of the small weights."""


def read_training(path: Path) -> NetworkTraining:
    """What a head's file says of its training; nothing for an authors' file. Raises `UserError`."""
    from matchers.backbones.checkpoints import training_in

    return training_in(path)


def bundled_head(name: str, description: str) -> WeightSource:
    """The source `tiny-NAME`: `NAME.safetensors`, a head that was trained on `shapes`."""
    return WeightSource(
        name=f"tiny-{name}",
        trained_on="shapes",
        training=read_training,
        locate=_locator(name),
        file=f"{name}.safetensors",
        citation=HARNESS,
        description=f"{description}; comes with the package",
    )


def _locator(name: str) -> Callable[[], Path]:
    """Makes a function that finds a file; it raises `UserError` in an installation without it."""

    def locate() -> Path:
        file = BUNDLED / f"{name}.safetensors"
        if not file.is_file():
            raise UserError(
                f"weights tiny-{name}: {file} is missing from this installation; "
                "install correspondence-bench anew, "
                f"or give --weights tiny-{name}=PATH or --weights paper"
            )
        return file

    return locate
