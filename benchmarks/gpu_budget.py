"""Time that a run on a GPU may take: which parts still fit, and a firm end."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class OutOfTime(BaseException):
    """The time is up. No `Exception`, since code that goes on after a failed picture must not go on here."""


class Budget:
    """Seconds that are left, and how far expectations have been right.

    Args:
        seconds: from now on.
        clock: seconds of a clock that never goes back.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._end = clock() + seconds
        self._expected = self._taken = 0.0

    @property
    def left(self) -> float:
        """Seconds until the end; negative afterwards."""
        return self._end - self._clock()

    def expected(self, estimate: float) -> float:
        """Seconds that a part will take, from an estimate and what parts took beside theirs so far."""
        if not self._expected:
            return estimate
        # Quick parts before do not show that long ones will be quick: an estimate is at most halved.
        return estimate * max(0.5, self._taken / self._expected)

    @contextmanager
    def timing(self, estimate: float) -> Iterator[None]:
        """Learns from the time of a part inside the `with` block."""
        start = self._clock()
        yield
        self._expected += estimate
        self._taken += self._clock() - start


@contextmanager
def ending_after(seconds: float) -> Iterator[None]:
    """Raises `OutOfTime` in the `with` block when the seconds are over; at once where there are none."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, stop)
    # A timer of zero would be none at all.
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-6))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
