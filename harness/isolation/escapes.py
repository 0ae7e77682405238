"""Ways out of a call that would end more than the call: what ends a process, and a copy of the process."""

from __future__ import annotations

import mmap
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from harness.errors import BenchError, origin_of
from harness.isolation.time_limit import OutOfTime

_interrupts = 0

_IS_TOLD = mmap.mmap(-1, 1)
"""A byte that all copies of this process share: whether one of them has been told of."""


@contextmanager
def noting_interrupts() -> Iterator[None]:
    """Counts the user's interrupts, so that a `KeyboardInterrupt` that code raises by itself is none."""
    is_main = threading.current_thread() is threading.main_thread()
    # Somebody else's handler has its reasons.
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    global _interrupts  # noqa: PLW0603 - of this process, as signals are
    _interrupts += 1
    raise KeyboardInterrupt


def count_interrupts() -> int:
    """Returns how often the user has interrupted the process so far."""
    return _interrupts


def may_pass(error: BaseException, interrupts: int) -> bool:
    """Says whether an error that left a plugin's code ends no more than it should.

    Args:
        interrupts: `count_interrupts()` when the code was called.
    """
    if isinstance(error, KeyboardInterrupt):
        # Under a handler of another's, nobody knows who raised it.
        return signal.getsignal(signal.SIGINT) is not _interrupt or _interrupts > interrupts
    return isinstance(error, Exception | OutOfTime)


def as_error(error: BaseException, plugin: str) -> BenchError:
    """An error of the plugin in place of one that ends processes."""
    origin = origin_of(error)
    line = f" at {origin.place}" if origin and origin.place else ""
    if isinstance(error, SystemExit):
        return BenchError(
            f"plugin '{plugin}' ends the process (sys.exit({error.code!r:.40}){line}); raise an error instead"
        )
    return BenchError(
        f"plugin '{plugin}' raises {type(error).__name__}{line}, which ends processes; "
        "raise an Exception instead"
    )


def end_copy(plugin: str) -> NoReturn:
    """Ends a copy of the process that a plugin's code made and let return; it would do all work once more."""
    if _IS_TOLD[0] == 0:
        _IS_TOLD[0] = 1
        line = f"bench: plugin '{plugin}' copied the process (os.fork) and let the copy return; it was ended"
        os.write(2, f"{line}\n".encode())
    os._exit(0)
