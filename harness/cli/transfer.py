"""Progress of downloads."""

from __future__ import annotations

import sys
from typing import Any


class Transfer:
    """A bar for each download in turn, on stderr, if that is a terminal."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._name = ""

    def __enter__(self) -> Transfer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Wipes the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def show(self, name: str, done: int, total: int | None) -> None:
        """A `harness.downloads.download.Progress`."""
        from tqdm import tqdm

        if name != self._name:
            self.close()
        if self._bar is None:
            look: dict[str, Any] = {"unit": "B", "unit_scale": True, "unit_divisor": 1024, "leave": False}
            # `initial` keeps an earlier run's bytes out of the speed.
            self._bar = tqdm(
                desc=name, total=total, initial=done, file=sys.stderr, disable=not sys.stderr.isatty(), **look
            )
            self._name = name
        self._bar.update(done - self._bar.n)
