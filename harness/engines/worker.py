"""The object in a worker's process that does the work. It knows nothing of what brought it there."""

from __future__ import annotations

import os
import pickle
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import IO

from harness.engines.proof import (
    Facts,
    Machine,
    Proof,
    Request,
    Setting,
    describe_machine,
    process_facts,
    prove,
)
from harness.isolation.time_limit import end_process_that_hangs
from harness.running.predict import WantedPairs
from harness.running.remote import Account, Message, RemoteWork
from harness.running.resolve import ResolvedCell


@dataclass(frozen=True)
class Arrival:
    """What a worker says when it has started.

    Attributes:
        facts: those that are found out quickly: a process of an older package must not slip in later.
    """

    machine: Machine
    facts: Facts


class Worker:
    """Does the work of units, one after another: see `RemoteWork` for what stays from one to the next.

    Args:
        node: the name that accounts of its work carry.
    """

    def __init__(self, setting: Setting, node: str) -> None:
        # Nothing that may fail: a worker whose making fails is not started again.
        self._setting, self._node = setting, node
        self._work = RemoteWork()
        self._cell: tuple[str, ResolvedCell] | None = None
        self._arrival: Arrival | None = None
        self._report: IO[bytes] | None = None

    def begin(self) -> Arrival:
        """Sets the process up, and says where it runs."""
        # Before the first operation: PyTorch makes its threads then.
        self._setting.apply()
        if self._report is None:
            # A call that hangs for good ends the process, and its pairs are found as those that kill.
            self._report = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process is there
            end_process_that_hangs(self._report.fileno())
        if self._arrival is None:
            self._arrival = Arrival(describe_machine(self._setting.device), process_facts())
        return self._arrival

    def prove(self, request: Request) -> Proof:
        """Finds a run's cells by itself."""
        return prove(request)

    def work(self, key: str, content: bytes, wanted: WantedPairs) -> Iterator[Message]:
        """Predicts pairs of a cell: see `RemoteWork.predict`.

        Args:
            key: of the cell, equal for equal cells.
            content: the pickled `ResolvedCell`.
        """
        if self._cell is None or self._cell[0] != key:
            self._cell = key, pickle.loads(content)
        for message in self._work.predict(self._cell[1], wanted):
            if isinstance(message, Account):
                hardware = self._arrival.machine.hardware if self._arrival else {}
                process = frozenset({(self._node, os.getpid())})
                yield Account(replace(message.work, hardware=hardware, workers=process))
            else:
                yield message
