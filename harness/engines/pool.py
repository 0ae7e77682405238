"""What an engine needs of its workers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from harness.engines.units import Unit
from harness.running.remote import Message
from harness.running.resolve import ResolvedCell


@dataclass(frozen=True)
class Received:
    """A message of the worker that has a unit. The last one is an `Account` or a `CellError`."""

    unit: Unit
    message: Message


@dataclass(frozen=True)
class Died:
    """The worker that had a unit is gone, and everything of the unit that was not received.

    Attributes:
        reason: in words, such as `its process was killed by SIGSEGV`.
        is_fault: whether the unit may have done it; not where the whole node is gone.
    """

    unit: Unit
    reason: str
    is_fault: bool = True


Event = Received | Died


class Pool(Protocol):
    """Workers that predict units. A pool replaces workers that die by new ones, and sends no unit twice."""

    @property
    def size(self) -> int:
        """Number of workers that there are, or will be; at least 1."""

    def room(self) -> int:
        """Number of units that can be submitted now and are worked on at once."""

    def submit(self, unit: Unit, resolved: ResolvedCell) -> None:
        """Gives a unit to a worker that has none."""

    def wait(self, seconds: float) -> list[Event]:
        """Waits for something to happen, for so long at most, and returns what has happened.

        Raises:
            BenchError: no worker starts, or there are none any more and none will come.
        """

    def describe(self) -> str:
        """The workers in words, for the progress bar: `8 workers on 2 nodes`."""

    def close(self) -> None:
        """Ends all workers, whatever they are at."""
