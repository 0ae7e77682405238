"""A limit of time for calls of code that may never return.

Two clocks run during a call. A timer of the process interrupts code that Python runs: it raises, as Ctrl-C
does, and the call fails like any other. Code in C that never comes back to Python cannot be interrupted;
where the process was started for such work alone (`end_process_that_hangs`), it is ended some seconds later,
and whoever started it goes on in another one.
"""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, MappingProxyType
from typing import NamedTuple

from harness.errors import ExtractionError
from harness.isolation.origin import remember_origin

Call = tuple[str, ...]
"""The items that a call is for, each with a name that is the same in every process."""

MOST_SECONDS = 1e7
"""Longest limit, some months: timers of the system take no much longer one."""

GRACE = 5.0
"""Seconds after the limit until a process that cannot be interrupted is ended."""

_AGAIN = 1.0
"""Seconds between interruptions: the code may catch one."""

_LONGEST_REPORT = 1 << 20

_SOON = 0.01
"""Seconds until an interruption that came while settings were put back is tried again."""

_ROOM = f"{Path(__file__).parent}/"

_CALLERS = tuple(f"{_ROOM}{name}.py" for name in ("guarded", "guarded_specs", "first_import"))
"""Modules of this room that call plugins' code; while others run, settings are being put back."""

_report: int | None = None
"""Descriptor of the file that says which call did not end; None where the process must not be ended."""

_avoided: Mapping[Call, str] = MappingProxyType({})


class OutOfTime(BaseException):
    """Ends a call that takes too long. No `except Exception` of a plugin's code catches it."""


def end_process_that_hangs(report: int) -> None:
    """Lets calls of this process that cannot be interrupted end it, with exit status 1.

    Args:
        report: descriptor of a file, which `read_last_call` reads afterwards.
    """
    global _report  # noqa: PLW0603 - of this process, as the clock is
    _report = report


def avoid_calls(reasons: Mapping[Call, str]) -> None:
    """Lets no call of this process begin that has ended others.

    Args:
        reasons: call -> the error of its item, where it is for one alone.
    """
    global _avoided  # noqa: PLW0603 - of this process, as the calls are
    _avoided = reasons


def reason_to_avoid(call: Call) -> str:
    """The reason why a call must not be made; empty where it may be."""
    return _avoided.get(call, "")


class LastCall(NamedTuple):
    """The call that a process was at when it ended.

    Attributes:
        items: none where it was at no call, or the call can be made in no parts.
        is_too_long: whether the process was ended because the call took too long.
    """

    items: Call
    is_too_long: bool


def read_last_call(report: int) -> LastCall:
    """The call that a process was at when it ended, from the file that it was given."""
    items, _, stacks = os.pread(report, _LONGEST_REPORT, 0).partition(b"\n")
    # As `faulthandler` begins.
    return LastCall(tuple(json.loads(items or b"[]")), stacks.startswith(b"Timeout"))


def too_long(seconds: float) -> str:
    """`no result after 30 s (--timeout)`."""
    return f"no result after {seconds:g} s (--timeout)"


class CallLimit:
    """The time that each call of an extractor, prompt or localizer may take.

    Args:
        seconds: None for no limit. There is none either in another thread than the main one, where Python
            handles no signals.
    """

    def __init__(self, seconds: float | None = None) -> None:
        self.seconds = seconds

    @contextmanager
    def call(self, items: Call = ()) -> Iterator[None]:
        """Ends what runs meanwhile when its time is over.

        Args:
            items: what the call is for, where it can be made in parts.

        Raises:
            ExtractionError: it was over.
        """
        if self.seconds is None or threading.current_thread() is not threading.main_thread():
            yield
            return
        try:
            with _alarm(self.seconds), _end_of_process(self.seconds + GRACE, items):
                yield
        except OutOfTime as error:
            # With the line of the plugin's code that did not come to its end.
            remember_origin(error)
            raise ExtractionError(too_long(self.seconds)) from error


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
def _end_of_process(seconds: float, items: Call) -> Iterator[None]:
    if _report is None:
        yield
        return
    os.ftruncate(_report, 0)
    os.lseek(_report, 0, os.SEEK_SET)
    os.write(_report, json.dumps(items).encode() + b"\n")
    faulthandler.dump_traceback_later(seconds, exit=True, file=_report)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        os.ftruncate(_report, 0)
