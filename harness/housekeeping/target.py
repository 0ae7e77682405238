"""A cell of the folder that is merged into, written only as long as it is what the merge has read."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from harness.files import file_sha256, make_folder, remove_files
from harness.records.folders import RECORD, make_results_folder
from harness.records.locks import CellIsRunning, leftovers, lock_folder

PATIENCE = 10.0
"""Seconds for which a merge waits for another command in a cell's folder: another merge needs less."""

_PAUSE = 0.05

Warn = Callable[[str, str], None]
"""Called with a subject and a message where the file system has no locks."""


class TargetChanged(Exception):
    """Another command has written to the cell since it was read: it is to be merged again."""


class Target:
    """A cell of the merged folder, under whatever name it has there.

    Args:
        out: the merged folder.
        digest: the hash at the end of the cell's id.

    Attributes:
        places: folders of the cell.
    """

    def __init__(self, out: Path, digest: str) -> None:
        self._out, self._digest = out, digest
        self._state = self._look()

    @property
    def places(self) -> list[Path]:
        """The cell's folders, as they were when the target was made."""
        return sorted(self._state)

    def _look(self) -> dict[Path, str]:
        """The cell's folders that have a record -> hash of it."""
        return {path.parent: file_sha256(path) for path in self._out.glob(f"*.{self._digest}/{RECORD}")}

    @contextmanager
    def writing(self, folder: Path, warn: Warn) -> Iterator[None]:
        """Makes the cell's folder and keeps other commands out of it.

        Raises:
            TargetChanged: another command has written since the target was made.
            BenchError: another command is at work in the folder, or it cannot be made.
        """
        # Not earlier: where no cell can be merged, there is no folder either.
        make_results_folder(self._out)
        make_folder(folder)
        with lock_patiently(folder, warn, writes=True):
            if self._look() != self._state:
                raise TargetChanged
            # Files that a killed command was writing.
            remove_files(leftovers(folder))
            yield


@contextmanager
def lock_patiently(
    folder: Path, warn: Warn, *, writes: bool = False, waits_for_writers: bool = True
) -> Iterator[None]:
    """Locks a cell's folder as `lock_folder` does, and waits for a command that is soon done with it.

    Args:
        waits_for_writers: whether it may be a merge that writes. Where it can only be a run, which may take
            hours, nobody waits.

    Raises:
        CellIsRunning: another command is still at work in the folder.
        BenchError: it cannot be locked.
    """
    last = time.monotonic() + PATIENCE
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(lock_folder(folder, warn, writes=writes))
                break
            except CellIsRunning as error:
                is_run = error.who and not waits_for_writers
                if is_run or time.monotonic() >= last:
                    raise
                time.sleep(_PAUSE)
        yield
