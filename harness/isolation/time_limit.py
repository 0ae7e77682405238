"""A limit of time for calls of code that may never return.

Two clocks run during a call. A timer of the process interrupts code that Python runs: it raises, as Ctrl-C
does, and the call fails like any other. Code in C that never comes back to Python cannot be interrupted;
where the process was started for such work alone (`end_process_that_hangs`), it is ended some seconds later,
and whoever started it goes on in another one.
"""

from __future__ import annotations

import faulthandler
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TextIO

from harness.errors import ExtractionError
from harness.isolation.origin import remember_origin

GRACE = 5.0
"""Seconds after the limit until a process that cannot be interrupted is ended."""

_AGAIN = 1.0
"""Seconds between interruptions: the code may catch one."""

_SOON = 0.01
"""Seconds until an interruption that came while settings were put back is tried again."""

_ROOM = f"{Path(__file__).parent}/"

_CALLERS = tuple(f"{_ROOM}{name}.py" for name in ("guarded", "guarded_specs", "first_import"))
"""Modules of this room that call plugins' code; while others run, settings are being put back."""

_report: TextIO | None = None
"""The file that is told where the code was when the process was ended; None where it must not be ended."""


class OutOfTime(BaseException):
    """Ends a call that takes too long. No `except Exception` of a plugin's code catches it."""


def message(seconds: float) -> str:
    """`no result after 30 s (--timeout)`."""
    return f"no result after {seconds:g} s (--timeout)"


def end_process_that_hangs(report: TextIO) -> None:
    """Lets calls of this process that cannot be interrupted end it, with exit status 1.

    Args:
        report: an open file with a descriptor; it is told what every thread was doing.
    """
    global _report  # noqa: PLW0603 - of this process, as the clock is
    _report = report


class CallLimit:
    """The time that each call of an extractor, prompt or localizer may take.

    Args:
        seconds: None for no limit. There is none either in another thread than the main one, where Python
            handles no signals.
    """

    def __init__(self, seconds: float | None = None) -> None:
        self.seconds = seconds

    @contextmanager
    def call(self) -> Iterator[None]:
        """Ends what runs meanwhile when its time is over.

        Raises:
            ExtractionError: it was over.
        """
        if self.seconds is None or threading.current_thread() is not threading.main_thread():
            yield
            return
        try:
            with _alarm(self.seconds), _end_of_process(self.seconds + GRACE):
                yield
        except OutOfTime as error:
            # With the line of the plugin's code that did not come to its end.
            remember_origin(error)
            raise ExtractionError(message(self.seconds)) from error


NO_LIMIT = CallLimit()


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """Raises `OutOfTime` in the code that runs when the time is over, until it has ended."""
    begun = time.monotonic()
    handler = signal.signal(signal.SIGALRM, _interrupt)
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN)
    try:
        yield
    finally:
        # Stopped before the handler is put back, whose default ends the process.
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if left:
            # A timer that ran before goes on; one whose time has come meanwhile rings at once.
            rest = max(left - (time.monotonic() - begun), 1e-3)
            signal.setitimer(signal.ITIMER_REAL, rest, interval)


def _interrupt(number: int, frame: FrameType | None) -> None:
    if _is_at_work_of_ours(frame):
        signal.setitimer(signal.ITIMER_REAL, _SOON, _AGAIN)
        return
    raise OutOfTime


def _is_at_work_of_ours(frame: FrameType | None) -> bool:
    """Says whether settings are being put in place or back, which must not be interrupted."""
    is_innermost = True
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith(_ROOM):
            return is_innermost or file not in _CALLERS
        # It enters and leaves the guard on behalf of its caller.
        if is_innermost and file == _CONTEXTS:
            return True
        is_innermost = False
        frame = frame.f_back
    return False


_CONTEXTS = contextmanager.__code__.co_filename


@contextmanager
def _end_of_process(seconds: float) -> Iterator[None]:
    if _report is None:
        yield
        return
    faulthandler.dump_traceback_later(seconds, exit=True, file=_report)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
