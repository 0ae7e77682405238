"""The folder of a training: one training at a time in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.files import remove_files
from harness.records.folders import make_results_folder
from harness.records.locks import leftovers, lock_folder


@contextmanager
def lock_training(folder: Path, warn: Callable[[str, str], None]) -> Iterator[None]:
    """Makes a training's folder, and locks it against other trainings.

    Raises:
        UserError: it cannot be written, or another training is running in it.
    """
    make_results_folder(folder)
    with lock_folder(folder, warn, writes=True):
        # Temporary files of a killed run; under the lock no other run writes any.
        remove_files(leftovers(folder))
        yield
