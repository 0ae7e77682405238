"""Signals that end a command: Ctrl-C, a batch system's SIGTERM, the SIGHUP of a connection that is closed.

A signal raises `Interrupted` wherever the main thread is, as Ctrl-C does in Python. Where that is lost, in a
`__del__` or in a library's callback, the signal is still known: long work calls `check_interrupt` at each of
its steps.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

REPEAT = 1.0
"""Seconds within which a second Ctrl-C counts as the first: terminals and programs between may both send."""


class Interrupted(KeyboardInterrupt):
    """A signal asks the command to end.

    Attributes:
        number: the signal.
    """

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(number.name)
        self.number = number


class _Received:
    """The first signal that came, when, the number of blocks that it must not break into, and whether
    it would be heard."""

    number: signal.Signals | None = None
    time = 0.0
    holds = 0
    is_awaited = False


def received_signal() -> signal.Signals | None:
    """The signal that asked this command to end; None where none did."""
    return _Received.number


def check_interrupt() -> None:
    """Raises `Interrupted` where a signal has come: whoever was to end for it may never have heard of it."""
    if _Received.number is not None:
        raise Interrupted(_Received.number)


@contextmanager
def holding_interrupts() -> Iterator[None]:
    """Lets a signal wait until the block is left, such as one that writes what was computed."""
    _Received.holds += 1
    try:
        yield
    finally:
        _Received.holds -= 1
    if not _Received.holds:
        check_interrupt()


@contextmanager
def ending_on_signals() -> Iterator[None]:
    """Ends the work inside on signals, in an orderly way: what was computed is written first.

    In another than the main thread nothing changes, since handlers are set in the main thread alone.
    """
    if is_ending_on_signals() or threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    # One that is ignored stays so: `nohup` wants the command to outlive its terminal. Somebody else's handler
    # has its reasons.
    usual = (signal.SIG_DFL, signal.default_int_handler)
    numbers = [number for number, handler in handlers.items() if handler in usual]
    report_unraisable = sys.unraisablehook

    def report(unraisable: sys.UnraisableHookArgs) -> None:
        # Not lost: the work ends at its next step.
        if not isinstance(unraisable.exc_value, Interrupted):
            report_unraisable(unraisable)

    sys.unraisablehook = report
    try:
        for number in numbers:
            signal.signal(number, _interrupt)
        _Received.is_awaited = True
        yield
    finally:
        _Received.is_awaited = False
        for number in numbers:
            signal.signal(number, handlers[number])
        sys.unraisablehook = report_unraisable
        _Received.number = None


def is_ending_on_signals() -> bool:
    """Says whether signals end the work that goes on, as `ending_on_signals` has it."""
    return _Received.is_awaited


def leave_on_signals() -> None:
    """Lets signals end the process at once: in Python's own end nothing is left to save."""
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _leave)


def _interrupt(number: int, frame: FrameType | None) -> None:
    now = time.monotonic()
    if _Received.number is None:
        _Received.number, _Received.time = signal.Signals(number), now
        if _Received.holds:
            return
    # What was computed is being written. Only somebody at a terminal can be impatient.
    elif number != signal.SIGINT or now - _Received.time < REPEAT:
        return
    raise Interrupted(signal.Signals(number))


def _leave(number: int, frame: FrameType | None) -> None:
    os._exit(128 + number)
