"""The progress of every command, on stderr: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn, TypeVar

import click

from harness.cli.verbosity import is_quiet, is_verbose
from harness.messages import printable

if TYPE_CHECKING:
    from tqdm import tqdm

Item = TypeVar("Item")

FIRST_LINE = 10.0
"""Seconds after which a log gets its first line; what is done before needs none."""

SHORTEST_INTERVAL, LONGEST_INTERVAL = 60.0, 600.0
"""Seconds between two lines of a log: a minute at first, a tenth of the time so far later."""

PULSE = 1.0
"""Seconds after which a bar is drawn again, and a log gets the line that is due, though nothing was done."""


_JUST_BEGUN = 1.0
"""Seconds in which there is nothing to say of a task of which nothing is done."""

_WAITING = "{desc}: {elapsed}{postfix}"
"""Form of a bar of which nothing is known but the time."""


class ProgressBar:
    """Shows how far a task is, and then the next: a new title wipes the old bar away and begins another.

    Where stderr is no terminal (a log, a batch job), a line is printed now and then instead: what is done,
    how fast, and the time left. Work that says nothing for minutes, such as loading weights, gets its lines,
    too. `--quiet` shows nothing, and `--verbose` has lines on a terminal as well.

    Args:
        unit: what is counted, in the singular; `B` for bytes, which are shown in kB and MB.
        is_enabled: False for a process that must print nothing.
        clock: seconds since any moment.
    """

    def __init__(
        self, unit: str, *, is_enabled: bool = True, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._unit = unit
        self._is_enabled = is_enabled and not is_quiet()
        # Lines of single steps would be printed into a bar.
        self._is_log = is_verbose()
        self._clock = clock
        self._title = ""
        self._bar: tqdm[NoReturn] | None = None
        # When the first task began, the last line was printed (None before the first), and this task began.
        self._started = self._task_started = 0.0
        self._last_line: float | None = None
        self._done = self._first = 0
        self._total: int | None = None
        self._note = ""
        # The pulse's thread prints, too.
        self._lock = threading.RLock()
        self._pulse: _Pulse | None = None

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Wipes the bar away."""
        with self._lock:
            if self._pulse is not None:
                self._pulse.stop()
                self._pulse = None
            if self._bar is not None:
                self._bar.close()
                self._bar = None

    def show(self, title: str, done: int, total: int | None, note: str = "") -> None:
        """Shows that `done` of `total` (None if it is unknown) units are finished, and a note behind them."""
        with self._lock:
            if self._bar is None or title != self._title:
                self._begin(title, done, total)
            assert self._bar is not None
            self._done, self._total = done, total
            # A download's size is often known only after it has begun.
            self._bar.total = total
            self._bar.bar_format = None if done or total else _WAITING
            self._set_note(note)
            # tqdm counts steps, callers count from the start.
            self._bar.update(done - self._bar.n)
            self._log_when_due()

    def note(self, text: str) -> None:
        """Shows what the task is at, behind the numbers: `loading weights`. Nothing before the first task."""
        with self._lock:
            if self._bar is not None:
                self._set_note(text)
                self._bar.refresh()
                self._log_when_due()

    def pulse(self) -> None:
        """Shows the time that goes by while nothing is done."""
        with self._lock:
            if self._bar is not None:
                self._bar.refresh()
                self._log_when_due()

    def wrap(self, items: Iterable[Item], title: str) -> Iterator[Item]:
        """Hands on the items and shows how many were taken."""
        total = len(items) if isinstance(items, Sized) else None
        # Before the first item, which may be the slowest.
        self.show(title, 0, total)
        for number, item in enumerate(items, start=1):
            yield item
            self.show(title, number, total)
        self.close()

    def _set_note(self, text: str) -> None:
        assert self._bar is not None
        if text != self._note:
            self._note = text
            # `update` draws the bar; without refresh=False it would be drawn twice.
            self._bar.set_postfix_str(text, refresh=False)

    def _log_when_due(self) -> None:
        """Prints a line if there is no bar and the last line is long ago."""
        if not self._is_enabled or self._is_drawn():
            return
        now = self._clock()
        if self._done == self._first and now - self._task_started < _JUST_BEGUN:
            # There is nothing to say of a task that has just begun.
            return
        if self._last_line is None:
            is_due = now - self._started >= FIRST_LINE
        else:
            interval = min(max(SHORTEST_INTERVAL, (now - self._started) / 10), LONGEST_INTERVAL)
            is_due = now - self._last_line >= interval
        if not is_due:
            return
        self._last_line = now
        click.echo(f"bench: {printable(self._line(now))}", err=True)

    def _is_drawn(self) -> bool:
        """Says whether there is a bar: on a terminal, unless lines are asked for."""
        return sys.stderr.isatty() and not self._is_log

    def _line(self, now: float) -> str:
        """`1/2 dift: 300 of 6,000 pairs, 1.5 pairs/s, 1:03:20 left`."""
        seconds = now - self._task_started
        parts = []
        if self._done or self._total:
            of_total = f" of {self._total:,}" if self._total else ""
            parts.append(f"{self._done:,}{of_total} {'bytes' if self._unit == 'B' else self._unit + 's'}")
        # What an earlier run has done is not counted in the speed.
        advance = self._done - self._first
        if advance > 0 and seconds > 0:
            rate = advance / seconds
            parts.append(self._rate_text(rate))
            if self._total and self._total > self._done:
                parts.append(f"{duration((self._total - self._done) / rate)} left")
        else:
            parts.append(f"begun {duration(seconds)} ago")
        if self._note:
            parts.append(self._note)
        return f"{self._title}: {', '.join(parts)}"

    def _rate_text(self, rate: float) -> str:
        if self._unit == "B":
            return f"{rate / 2**20:.1f} MB/s"
        if rate >= 1:
            return f"{rate:.1f} {self._unit}s/s"
        return f"{1 / rate:.1f} s a {self._unit}"

    def _begin(self, title: str, done: int, total: int | None) -> None:
        from tqdm import tqdm

        self.close()
        self._task_started = self._clock()
        # An empty title is that of a bar that has shown nothing yet.
        if not self._title:
            self._started = self._task_started
        self._title, self._note, self._first = title, "", done
        counts_bytes = self._unit == "B"
        divisor = 1024 if counts_bytes else 1000
        is_shown = self._is_enabled and self._is_drawn()
        self._bar = tqdm(
            desc=title,
            unit=self._unit,
            unit_scale=counts_bytes,
            unit_divisor=divisor,
            # What an earlier run has done is not counted in the speed.
            initial=done,
            total=total,
            bar_format=None if done or total else _WAITING,
            file=sys.stderr,
            disable=not is_shown,
            # Lines that are printed later would stand below a bar that says nothing any more.
            leave=False,
        )
        if self._is_enabled:
            self._pulse = _Pulse(self)
            self._pulse.start()


@contextmanager
def waiting(title: str) -> Iterator[None]:
    """Shows for how long something goes on whose steps cannot be counted."""
    with ProgressBar("step") as bar:
        bar.show(title, 0, None)
        yield


class _Pulse(threading.Thread):
    """Calls a bar's `pulse` once a second, until it is stopped."""

    def __init__(self, bar: ProgressBar) -> None:
        # A daemon: a command that is interrupted must not wait for it.
        super().__init__(name="progress", daemon=True)
        self._bar, self._is_stopped = bar, threading.Event()

    def run(self) -> None:
        while not self._is_stopped.wait(PULSE):
            self._bar.pulse()

    def stop(self) -> None:
        """Ends the thread at its next pulse at the latest."""
        self._is_stopped.set()


def duration(seconds: float) -> str:
    """`12 s`, `3:07` (minutes and seconds), `1:03:20` (hours before them)."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
