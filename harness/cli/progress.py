"""The progress of every command, on stderr: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import TYPE_CHECKING, NoReturn, TypeVar

import click

if TYPE_CHECKING:
    from tqdm import tqdm

Item = TypeVar("Item")

FIRST_LINE = 10.0
"""Seconds after which a log gets its first line; what is done before needs none."""

LAST_INTERVAL = 600.0
"""Seconds between two lines of a log at most: the first come sooner, each after twice the time."""


class ProgressBar:
    """Shows how far a task is, and then the next: a new title wipes the old bar away and begins another.

    Where stderr is no terminal (a log, a batch job), a line is printed now and then instead.

    Args:
        unit: what is counted, in the singular; `B` for bytes, which are shown in kB and MB.
        is_enabled: False for a process that must print nothing.
        clock: seconds since any moment.
    """

    def __init__(
        self, unit: str, *, is_enabled: bool = True, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._unit = unit
        self._is_enabled = is_enabled
        self._clock = clock
        self._title = ""
        self._bar: tqdm[NoReturn] | None = None
        self._interval = FIRST_LINE
        self._last_line = clock()

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Wipes the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def show(self, title: str, done: int, total: int | None, note: str = "") -> None:
        """Shows that `done` of `total` (None if it is unknown) units are finished, and a note behind them."""
        if self._bar is None or title != self._title:
            self._begin(title, done, total)
        assert self._bar is not None
        # A download's size is often known only after it has begun.
        self._bar.total = total
        if note:
            # `update` draws the bar; without refresh=False it would be drawn twice.
            self._bar.set_postfix_str(note, refresh=False)
        # tqdm counts steps, callers count from the start.
        self._bar.update(done - self._bar.n)
        if self._is_enabled and not sys.stderr.isatty():
            self._log(title, done, total, note)

    def wrap(self, items: Iterable[Item], title: str) -> Iterator[Item]:
        """Hands on the items and shows how many were taken."""
        total = len(items) if isinstance(items, Sized) else None
        # Before the first item, which may be the slowest.
        self.show(title, 0, total)
        for number, item in enumerate(items, start=1):
            yield item
            self.show(title, number, total)
        self.close()

    def _log(self, title: str, done: int, total: int | None, note: str) -> None:
        """Prints a line if the last one is long ago."""
        now = self._clock()
        if now - self._last_line < self._interval:
            return
        self._last_line = now
        self._interval = min(2 * self._interval, LAST_INTERVAL)
        numbers = f"{done:,}"
        if total:
            numbers += f" of {total:,}"
        unit = "bytes" if self._unit == "B" else f"{self._unit}s"
        line = f"bench: {title}: {numbers} {unit}"
        if note:
            line += f", {note}"
        click.echo(line, err=True)

    def _begin(self, title: str, done: int, total: int | None) -> None:
        from tqdm import tqdm

        self.close()
        self._title = title
        counts_bytes = self._unit == "B"
        divisor = 1024 if counts_bytes else 1000
        is_shown = self._is_enabled and sys.stderr.isatty()
        self._bar = tqdm(
            desc=title,
            unit=self._unit,
            unit_scale=counts_bytes,
            unit_divisor=divisor,
            # What an earlier run has done is not counted in the speed.
            initial=done,
            total=total,
            file=sys.stderr,
            disable=not is_shown,
            # Lines that are printed later would stand below a bar that says nothing any more.
            leave=False,
        )
