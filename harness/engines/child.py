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
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import NamedTuple, cast

from harness.engines.pool import Died, Event, Received
from harness.engines.units import Unit
from harness.isolation.time_limit import Call, avoid_calls, end_process_that_hangs, read_hung_call
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
        hung: calls of its extractor that took too long and ended an earlier process.
    """

    cell: bytes
    wanted: WantedPairs
    hung: frozenset[Call]


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
        self._report = tempfile.TemporaryFile("ab+", buffering=0)  # noqa: SIM115 - open as long as the pool
        self._hung: dict[str, set[Call]] = {}

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
            self._connection.send(_Order(content, unit.wanted, frozenset(self._hung.get(resolved.id, ()))))

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
        """The process is dead: a call took too long that nothing could interrupt, or whatever it was."""
        assert self._cell is not None
        hung = self._hung.setdefault(self._cell.id, set())
        call = read_hung_call(self._report.fileno())
        reason = self._bury()
        if not call or call in hung:
            return Died(unit, reason)
        # It is not made again, so that the pairs need not be halved to find it.
        hung.add(call)
        return Died(unit, "a call took too long, and could be ended with its process alone", is_fault=False)

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
            avoid_calls(order.hung)
            for message in work.predict(resolved, order.wanted):
                connection.send(message)


def _leave_with_parent(parent: int) -> None:
    """Ends the process when the other one is killed, also in the middle of its work."""
    while os.getppid() == parent:
        time.sleep(1.0)
    # `sys.exit` would end this thread alone.
    os._exit(1)
