"""Ways out of a call that would end more than the call: what ends a process, and a copy of the process."""

from __future__ import annotations

import mmap
import os
from typing import NoReturn

from harness.errors import BenchError, origin_of
from harness.interrupts import is_ending_on_signals, received_signal
from harness.isolation.time_limit import OutOfTime

_IS_TOLD = mmap.mmap(-1, 1)
"""A byte that all copies of this process share: whether one of them has been told of."""


def may_pass(error: BaseException) -> bool:
    """Says whether an error that left a plugin's code ends no more than it should."""
    if isinstance(error, KeyboardInterrupt):
        # Where nobody waits for signals, nobody knows who raised it.
        return not is_ending_on_signals() or received_signal() is not None
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
