"""Progress bars on stderr, shown to a terminal only."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any


def bar(items: Iterable[Any], title: str, unit: str) -> Iterable[Any]:
    """Hands on the items, with a progress bar on stderr, if that is a terminal."""
    from tqdm import tqdm

    return tqdm(items, desc=title, unit=unit, file=sys.stderr, disable=not sys.stderr.isatty(), leave=False)


class PairBar:
    """A progress bar on stderr, if that is a terminal."""

    def __init__(self, title: str) -> None:
        from tqdm import tqdm

        self._bar = tqdm(
            desc=title, unit="pair", file=sys.stderr, disable=not sys.stderr.isatty(), leave=False, total=0
        )

    def __enter__(self) -> PairBar:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def show(self, cell: str, done: int, total: int) -> None:
        """A `harness.running.run_cell.Progress`."""
        self._bar.total = total
        self._bar.update(done - self._bar.n)
