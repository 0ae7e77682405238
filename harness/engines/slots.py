"""Workers and nodes of a cluster as a pool sees them: what each of them is at."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto

from harness.engines.cluster import Handle, Ticket
from harness.engines.placement import Demand, Node
from harness.engines.proof import Facts, Machine, Request
from harness.engines.units import Unit


class Stage(Enum):
    """What a worker is at.

    STARTING: its process starts, or starts again; ARRIVED: it waits for the proof of its node; PROVING: it
    makes that proof; READY: it has nothing to do; WORKING: it has a unit.
    """

    STARTING = auto()
    ARRIVED = auto()
    PROVING = auto()
    READY = auto()
    WORKING = auto()


@dataclass(eq=False)
class Slot:
    """A worker.

    Attributes:
        ticket: the answer that is awaited.
        since: when its present stage began.
        retry: when a worker that cannot be reached is asked again; None where nothing is the matter.
        unit: the unit that it has, or had when it could not be reached any more.
        machine: where it last ran.
        cell: number of the cell of its last unit.
    """

    handle: Handle
    since: float
    ticket: Ticket | None = None
    stage: Stage = Stage.STARTING
    retry: float | None = None
    unit: Unit | None = None
    machine: Machine | None = None
    cell: int | None = None


@dataclass(eq=False)
class Place:
    """A node with its workers.

    Attributes:
        is_proved: None as long as nobody knows.
        is_late: whether its workers have taken longer to start than they may.
    """

    node: Node
    slots: list[Slot] = field(default_factory=list)
    is_proved: bool | None = None
    is_late: bool = False

    @property
    def is_proving(self) -> bool:
        """Says whether a worker makes the node's proof."""
        return any(slot.stage is Stage.PROVING for slot in self.slots)

    @property
    def is_settled(self) -> bool:
        """Says whether the run need not wait for the node's proof any more."""
        return self.is_proved is not None or self.is_late


@dataclass(frozen=True, eq=False)
class Terms:
    """What a pool asks of nodes.

    Attributes:
        request: the cells to find.
        facts: what was found here.
        start_timeout: seconds that a worker may take to start.
        can_grow: whether further nodes may join, so that one is waited for.
    """

    demand: Demand
    request: Request
    facts: Facts
    start_timeout: float
    allows_mixed_devices: bool = False
    can_grow: bool = True
