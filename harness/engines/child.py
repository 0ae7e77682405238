"""A pool of one process beside this one, which may be killed without harm.

A plugin whose code never comes back, or that ends its process, ends this one alone.
"""

from __future__ import annotations

import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import NamedTuple, cast

from harness.engines.dispatch import FAILED_AFTER, HALVED_AFTER
from harness.engines.pool import Died, Event, Received
from harness.engines.units import Unit
from harness.imports import claim_process, uncollected
from harness.isolation.time_limit import (
    Call,
    LastCall,
    avoid_calls,
    end_process_that_hangs,
    read_last_call,
    too_long,
)
from harness.messages import counted
from harness.running.predict import WantedPairs
from harness.running.recording import describe_error
from harness.running.remote import CellError, FinishedPairs, Message, RemoteWork
from harness.running.resolve import ResolvedCell

_END_SECONDS = 10.0
"""Time that a process which is to end has for it before it is killed."""


class _Order(NamedTuple):
    """What the process is to do.

    Attributes:
        cell: the cell, pickled; empty for that of the last order.
        avoided: calls of its extractor that ended earlier processes -> why they are not made again.
    """

    cell: bytes
    wanted: WantedPairs
    avoided: Mapping[Call, str]


class _DeadlyCalls:
    """Calls of a cell's extractor that its processes ended at.

    Attributes:
        avoided: those that are not made again -> why; of many items, each is tried by itself.
    """

    def __init__(self) -> None:
        self.avoided: dict[Call, str] = {}
        self._deaths: Counter[Call] = Counter()

    def add(self, last: LastCall, reason: str) -> None:
        """Counts a death. One may have come from outside: the same call, made again, gives the same bytes."""
        call = last.items
        self._deaths[call] += 1
        deaths = self._deaths[call]
        if last.is_too_long:
            self.avoided[call] = reason
        elif deaths >= (FAILED_AFTER if len(call) == 1 else HALVED_AFTER):
            self.avoided[call] = f"{counted(deaths, 'worker')} died over it (the last: {reason})"


class ChildPool:
    """A `harness.engines.pool.Pool` of one process, which is begun anew when it has died."""

    size = 1

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection[object, object] | None = None
        self._unit: Unit | None = None
        # The cell that the process has.
        self._cell: ResolvedCell | None = None
        # The process says there which call it is at.
        self._report = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - open as long as the pool
        self._calls: dict[str, _DeadlyCalls] = {}

    def room(self) -> int:
        """Number of units that can be submitted now."""
        return int(self._unit is None)

    def submit(self, unit: Unit, resolved: ResolvedCell) -> None:
        """Gives a unit to the process, which is started where there is none.

        Raises:
            UserError: a plugin of the cell is not installed, so another process cannot load it.
        """
        if self._process is None:
            self._start()
        assert self._connection is not None
        content = b""
        if resolved is not self._cell:
            content, self._cell = pickle.dumps(resolved), resolved
        self._unit = unit
        # A process that has died meanwhile is found by `wait`.
        with suppress(BrokenPipeError, ConnectionResetError):
            self._connection.send(_Order(content, unit.wanted, self._calls_of(resolved).avoided))

    def wait(self, seconds: float) -> list[Event]:
        """Waits for a message of the process, or its death."""
        if self._unit is None or self._connection is None:
            return []
        unit = self._unit
        if not wait([self._connection], seconds):
            return []
        try:
            message = cast("Message", self._connection.recv())
        except (EOFError, ConnectionResetError, pickle.UnpicklingError):
            # The end of the stream, or of a message that it was writing.
            return [self._end_of(unit)]
        if not isinstance(message, FinishedPairs):
            self._unit = None
        if isinstance(message, CellError):
            # It may not have been able to load the cell.
            self._cell = None
        return [Received(unit, message)]

    def _end_of(self, unit: Unit) -> Died:
        """The process is dead, by the call that it was at or by whatever else there is."""
        assert self._cell is not None
        cell, last = self._cell, read_last_call(self._report.fileno())
        reason = self._bury()
        if not last.items:
            return Died(unit, reason)
        limit = cell.options.timeout
        if last.is_too_long and limit is not None:
            reason = too_long(limit)
        self._calls_of(cell).add(last, reason)
        # The call is known, and pairs need not be halved to find it.
        return Died(unit, reason, is_fault=False)

    def _calls_of(self, resolved: ResolvedCell) -> _DeadlyCalls:
        return self._calls.setdefault(resolved.id, _DeadlyCalls())

    def describe(self) -> str:
        """Nothing: one process is the usual case."""
        return ""

    def close(self) -> None:
        """Ends the process, whatever it is at."""
        if self._process is not None:
            self._process.kill()
            self._bury()
        self._report.close()

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        report = self._report.fileno()
        os.ftruncate(report, 0)
        # Not of `multiprocessing`: that would import the user's own program in the process once more.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", f"from {__name__} import main; main({theirs.fileno()}, {report})"],
            pass_fds=[theirs.fileno(), report],
            stdin=subprocess.DEVNULL,
            # Results are for the other process to print.
            stdout=2,
            # Plugins are found where this process finds them.
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path)},
        )
        theirs.close()
        self._connection = Connection(ours.detach())
        self._connection.send(_threads())

    def _bury(self) -> str:
        """Takes leave of the process, and says how it ended."""
        assert self._process is not None
        assert self._connection is not None
        self._connection.close()
        try:
            status = self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        self._process = self._connection = self._unit = self._cell = None
        return describe_status(status)


def describe_status(status: int) -> str:
    """`its process was killed by SIGSEGV`, `its process ended with status 1`."""
    if status < 0:
        with suppress(ValueError):
            return f"its process was killed by {signal.Signals(-status).name}"
        return f"its process was killed by signal {-status}"
    return f"its process ended with status {status}"


def _threads() -> int:
    """Threads of this process's sums, which the last digits depend on."""
    import torch

    return torch.get_num_threads()


def main(handle: int, report: int) -> None:
    """Does what the process is for: takes orders until the stream ends, and sends messages.

    Args:
        handle: descriptor of the stream.
        report: descriptor of the file that says which call took too long, where one did.
    """
    claim_process()
    with uncollected():
        import torch

    threading.Thread(target=_leave_with_parent, args=(os.getppid(),), daemon=True).start()
    # An interrupt from the keyboard goes to both processes; the other one ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_process_that_hangs(report)
    connection: Connection[object, object] = Connection(handle)
    resolved: ResolvedCell | None = None
    work = RemoteWork()
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        torch.set_num_threads(int(connection.recv()))  # type: ignore[call-overload]
        while True:
            order = connection.recv()
            assert isinstance(order, _Order)
            try:
                if order.cell:
                    resolved = pickle.loads(order.cell)
                assert resolved is not None
            except Exception as error:  # noqa: BLE001 - whatever a plugin raises when it is imported
                connection.send(CellError(describe_error(error)))
                continue
            avoid_calls(order.avoided)
            for message in work.predict(resolved, order.wanted):
                connection.send(message)


def _leave_with_parent(parent: int) -> None:
    """Ends the process when the other one is killed, also in the middle of its work."""
    while os.getppid() == parent:
        time.sleep(1.0)
    # `sys.exit` would end this thread alone.
    os._exit(1)
