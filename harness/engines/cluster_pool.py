"""A pool of workers on the nodes of a cluster: who is ready, who has a unit, who has died.

Every node proves before its first pair that it has the same code, data and weights. Nodes that join later get
workers, too; those that leave take theirs along, and their units go to others.
"""

from __future__ import annotations

import logging
import pickle
import time
from collections.abc import Callable
from dataclasses import replace
from typing import cast

from harness.engines.cluster import Cluster, Gone, Handle, Refused, Shared, Ticket, Unreachable
from harness.engines.placement import Node, resources_text
from harness.engines.pool import Died, Event, Received
from harness.engines.proof import Machine, Proof, device_refusal, differences, refusal
from harness.engines.slots import Place, Slot, Stage, Terms
from harness.engines.units import Unit
from harness.engines.worker import Arrival
from harness.errors import BenchError, SeveralErrors, UserError
from harness.messages import counted, one_line
from harness.running.recording import describe_error
from harness.running.remote import CellError, FinishedPairs, Message
from harness.running.resolve import ResolvedCell

_LOG = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
"""Seconds between two looks at which nodes there are."""

RETRY_SECONDS = 1.0
"""Seconds between two questions to a worker that cannot be reached."""

KEPT_CELLS = 4
"""Cells whose content stays in the cluster's memory."""


class ClusterPool:
    """Workers on all nodes that have what a worker needs: see `harness.engines.pool.Pool`.

    They are started with the first unit: a run of which everything is there already needs none.

    Args:
        warn: shows a line about something that stops nothing.
        step: shows what the pool is at.
        clock: seconds since any moment.
    """

    def __init__(
        self,
        cluster: Cluster,
        terms: Terms,
        warn: Callable[[str], None],
        step: Callable[[str], None] = lambda text: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cluster, self._terms, self._warn, self._step = cluster, terms, warn, step
        self._clock = clock
        self._places: dict[str, Place] = {}
        self._refusals: list[str] = []
        self._first: tuple[str, Machine] | None = None
        # A worker that is asked for where no node has room, so that a cluster that grows gets a node.
        self._herald: Handle | None = None
        self._alone_since: float | None = None
        self._last_look = float("-inf")
        self._content: dict[int, Shared] = {}
        self._has_begun = False
        self._events: list[Event] = []

    def _start(self) -> None:
        """Starts workers on the nodes there are, and waits until each node has proved what it must.

        Raises:
            SeveralErrors: what nodes lack, in a line each.
            BenchError: no worker starts.
        """
        while True:
            self._look()
            settled = [place for place in self._places.values() if place.is_settled]
            self._step(f"{len(settled)} of {counted(len(self._places), 'node')} ready")
            # Those that are at their proof are told with the others; those that start may take minutes.
            if self._refusals and not any(place.is_proving for place in self._places.values()):
                raise SeveralErrors(self._refusals)
            if any(place.is_proved for place in settled) and len(settled) == len(self._places):
                break
            self._advance(0.5)
        self._has_begun = True
        self._step("")
        _LOG.info("cluster: %s", self.describe())

    @property
    def size(self) -> int:
        """Number of workers that there are, or will be; at least 1."""
        if not self._has_begun:
            return max(1, sum(map(self._terms.demand.workers_on, self._cluster.nodes())))
        return max(1, sum(len(place.slots) for place in self._places.values()))

    def room(self) -> int:
        """Number of units that can be submitted now and are worked on at once."""
        return len(self._ready()) if self._has_begun else 1

    def submit(self, unit: Unit, resolved: ResolvedCell) -> None:
        """Gives a unit to a worker that has none; one that has the cell's networks already comes first.

        Raises:
            SeveralErrors: what nodes lack, in a line each.
            BenchError: no worker starts.
            UserError: a plugin of the cell is not installed, so another process cannot load it.
        """
        if not self._has_begun:
            self._start()
        slot = min(self._ready(), key=lambda ready: ready.cell != unit.cell)
        slot.unit, slot.cell = unit, unit.cell
        content = self._content.get(unit.cell)
        if content is None:
            while len(self._content) >= KEPT_CELLS:
                del self._content[next(iter(self._content))]
            # Protocols of other authors need not pickle, and nobody scores there.
            portable = replace(resolved, options=replace(resolved.options, criteria=()))
            content = self._content[unit.cell] = self._cluster.share(pickle.dumps(portable))
        self._enter(slot, Stage.WORKING)
        slot.ticket = self._cluster.stream(slot.handle, f"{unit.cell} {resolved.id}", content, unit.wanted)

    def wait(self, seconds: float) -> list[Event]:
        """Waits for something to happen, for so long at most, and returns what has happened.

        Raises:
            BenchError: there is no worker, and none has come for long.
        """
        self._look()
        # What a node took along when it left has happened already.
        self._advance(0.0 if self._events else seconds)
        events, self._events = self._events, []
        return events

    def describe(self) -> str:
        """`8 workers on 2 nodes`; empty before the first unit."""
        if not self._has_begun:
            return ""
        proved = [place for place in self._places.values() if place.is_proved]
        workers = counted(sum(len(place.slots) for place in proved), "worker")
        return f"{workers} on {counted(len(proved), 'node')}"

    def close(self) -> None:
        """Ends all workers, whatever they are at."""
        for place in self._places.values():
            for slot in place.slots:
                self._cluster.end(slot.handle)
        self._places.clear()
        self._dismiss_herald()

    def _ready(self) -> list[Slot]:
        slots = [slot for place in self._places.values() if place.is_proved for slot in place.slots]
        return [slot for slot in slots if slot.stage is Stage.READY]

    def _look(self) -> None:
        """Looks at which nodes there are, now and then: starts workers on new ones and gives up lost ones."""
        now = self._clock()
        if now - self._last_look < LOOK_SECONDS:
            return
        self._last_look = now
        nodes = self._cluster.nodes()
        alive = {node.id: node for node in nodes if node.is_alive}
        for place in [place for place in self._places.values() if place.node.id not in alive]:
            self._leave(place)
        for node in alive.values():
            number = self._terms.demand.workers_on(node)
            if node.id not in self._places and number:
                place = self._places[node.id] = Place(node)
                place.slots = [self._start_worker(node) for _ in range(number)]
        self._check_late(now)
        self._check_alone(now, nodes)

    def _start_worker(self, node: Node) -> Slot:
        demand = self._terms.demand
        handle = self._cluster.start(node, demand.cpus_on(node), demand.gpus)
        slot = Slot(handle, self._clock())
        slot.ticket = self._cluster.ask(handle, "begin")
        return slot

    def _leave(self, place: Place) -> None:
        """Gives up the workers of a node that has left."""
        del self._places[place.node.id]
        if place.is_proved is not False:
            self._warn(f"node {place.node.name}: has left the cluster; the others go on with its pairs")
        for slot in place.slots:
            self._cluster.end(slot.handle)
            if slot.unit:
                reason = f"node {place.node.name} has left the cluster"
                self._events.append(Died(slot.unit, reason, is_fault=False))

    def _check_late(self, now: float) -> None:
        """Waits no longer for nodes whose workers take too long to start, and for workers to come back."""
        for place in self._places.values():
            for slot in place.slots:
                if slot.unit and slot.stage is Stage.STARTING and self._is_late(slot, now):
                    self._events.append(Died(slot.unit, self._death(place, slot)))
                    slot.unit = None
            if place.is_settled or any(slot.stage is not Stage.STARTING for slot in place.slots):
                continue
            if all(self._is_late(slot, now) for slot in place.slots):
                place.is_late = True
                self._warn(
                    f"node {place.node.name}: no worker has started in {self._terms.start_timeout:g} s, each "
                    f"asks for {self._terms.demand.text}; the run goes on without it as long as that is so"
                )

    def _is_late(self, slot: Slot, now: float) -> bool:
        return now - slot.since > self._terms.start_timeout

    def _check_alone(self, now: float, nodes: list[Node]) -> None:
        """Asks for a node where none can be used.

        Raises:
            UserError: none can come, or none came before the first pair.
            BenchError: none came for long.
        """
        usable = [place for place in self._places.values() if place.is_proved is not False]
        if any(not place.is_late for place in usable):
            self._dismiss_herald()
            self._alone_since = None
            return
        limit = self._terms.start_timeout
        kind = BenchError if self._has_begun else UserError
        if self._alone_since is None:
            self._alone_since = now
            if not usable and not self._refusals and not self._terms.can_grow:
                raise kind(f"{self._lack(nodes)}; ask for less, or name another cluster by --address")
            if not usable and not self._refusals:
                # Workers on nodes that are late have waited as long already.
                self._herald = self._cluster.start(None, 1.0, self._terms.demand.gpus)
                self._warn(f"{self._lack(nodes)}; waiting up to {limit:g} s for a node that has it")
        if usable or now - self._alone_since > limit:
            raise kind(
                f"no worker has started in {limit:g} s: {self._lack(nodes)}; ask for less "
                "(--gpus-per-worker, --workers-per-node, OMP_NUM_THREADS), free the nodes, or wait longer "
                "(--start-timeout)"
            )

    def _lack(self, nodes: list[Node]) -> str:
        return f"each worker asks for {self._terms.demand.text}, and the cluster has {resources_text(nodes)}"

    def _dismiss_herald(self) -> None:
        if self._herald is not None:
            self._cluster.end(self._herald)
            self._herald = None

    def _advance(self, seconds: float) -> None:
        """Waits for answers, and takes what they say."""
        now = self._clock()
        awaited: dict[Ticket, tuple[Place, Slot]] = {}
        for place in self._places.values():
            for slot in place.slots:
                if slot.retry is not None and slot.retry <= now:
                    slot.retry, slot.ticket = None, self._cluster.ask(slot.handle, "begin")
                if slot.ticket is not None:
                    awaited[slot.ticket] = place, slot
        if not awaited:
            time.sleep(min(seconds, RETRY_SECONDS))
            return
        for ticket in self._cluster.wait(list(awaited), min(seconds, RETRY_SECONDS)):
            place, slot = awaited[ticket]
            # A node that is refused takes its other workers along.
            if slot in place.slots:
                self._take(place, slot)

    def _take(self, place: Place, slot: Slot) -> None:
        """Takes the answer that a worker has."""
        try:
            answer = self._cluster.answer(slot.ticket)
        except StopIteration:
            # After its last message; a stream that ends before has died.
            self._lose(slot)
        except Unreachable:
            self._lose(slot)
        except Gone as error:
            self._drop(place, slot, str(error))
        except Refused as error:
            self._take_error(place, slot, error.__cause__ or error)
        else:
            if slot.stage is Stage.STARTING:
                self._arrive(place, slot, cast("Arrival", answer))
            elif slot.stage is Stage.PROVING:
                self._settle(place, slot, cast("Proof", answer))
            else:
                self._receive(slot, cast("Message", answer))

    def _lose(self, slot: Slot) -> None:
        """Begins to ask for a worker that does not answer."""
        if slot.stage is not Stage.STARTING:
            self._enter(slot, Stage.STARTING)
        slot.ticket, slot.retry = None, self._clock() + RETRY_SECONDS

    def _drop(self, place: Place, slot: Slot, reason: str) -> None:
        """Gives up a worker that the cluster does not start again, and starts another one.

        One that is gone with its node is left to the next look at the nodes.
        """
        if not any(node.is_alive for node in self._cluster.nodes() if node.id == place.node.id):
            slot.ticket, self._last_look = None, float("-inf")
            return
        place.slots.remove(slot)
        if slot.unit:
            self._events.append(Died(slot.unit, self._death(place, slot)))
        if slot.machine is None:
            # It never ran: another one would not either.
            self._refuse(place, f"node {place.node.name}: a worker does not start there: {reason}")
        else:
            place.slots.append(self._start_worker(place.node))

    def _arrive(self, place: Place, slot: Slot, arrival: Arrival) -> None:
        """Greets a worker that has started, or started again."""
        before, slot.machine = slot.machine, arrival.machine
        unit, slot.unit, slot.ticket = slot.unit, None, None
        if unit and before and before.process == arrival.machine.process:
            # It lives: what was lost is its connection, and it is done with the unit by now.
            self._events.append(Died(unit, "the connection to its worker was lost", is_fault=False))
        elif unit:
            self._events.append(Died(unit, self._death(place, slot, before)))
        expected = {name: value for name, value in self._terms.facts.items() if name in arrival.facts}
        if differences(expected, arrival.facts):
            self._refuse(place, refusal(place.node.name, Proof(arrival.facts), expected))
        elif line := self._other_device(place, arrival.machine):
            self._refuse(place, line)
        elif place.is_proved:
            self._enter(slot, Stage.READY)
        else:
            self._enter(slot, Stage.ARRIVED)
            self._ask_for_proof(place)

    def _ask_for_proof(self, place: Place) -> None:
        """Lets one worker of a node make the node's proof."""
        if any(slot.stage is Stage.PROVING for slot in place.slots):
            return
        for slot in place.slots:
            if slot.stage is Stage.ARRIVED:
                self._enter(slot, Stage.PROVING)
                slot.ticket = self._cluster.ask(slot.handle, "prove", self._terms.request)
                return

    def _settle(self, place: Place, slot: Slot, proof: Proof) -> None:
        """Takes a node's proof."""
        slot.ticket = None
        if line := refusal(place.node.name, proof, self._terms.facts):
            self._refuse(place, line)
            return
        place.is_proved, place.is_late = True, False
        for other in place.slots:
            if other.stage in (Stage.ARRIVED, Stage.PROVING):
                self._enter(other, Stage.READY)

    def _other_device(self, place: Place, machine: Machine) -> str:
        """Says that a node computes on another device than the first one; empty where it may be used."""
        if self._first is None:
            self._first = place.node.name, machine
        if self._terms.allows_mixed_devices:
            return ""
        return device_refusal(place.node.name, machine, *self._first)

    def _refuse(self, place: Place, line: str) -> None:
        """Leaves a node out. Before the first pair, the run ends with the line; later, the others go on."""
        place.is_proved = False
        for slot in place.slots:
            self._cluster.end(slot.handle)
            if slot.unit:
                self._events.append(Died(slot.unit, line, is_fault=False))
        place.slots = []
        if self._has_begun:
            self._warn(f"{line}; it is left out")
        else:
            self._refusals.append(line)

    def _receive(self, slot: Slot, message: Message) -> None:
        unit = cast("Unit", slot.unit)
        self._events.append(Received(unit, message))
        if not isinstance(message, FinishedPairs):
            slot.unit, slot.ticket = None, None
            self._enter(slot, Stage.READY)

    def _take_error(self, place: Place, slot: Slot, error: BaseException) -> None:
        """Takes an error that a worker's code raised, which is no error of a plugin: those are messages."""
        if slot.stage is Stage.WORKING:
            self._receive(slot, CellError(describe_error(error)))
        else:
            self._refuse(place, f"node {place.node.name}: {one_line(error)}")

    def _death(self, place: Place, slot: Slot, machine: Machine | None = None) -> str:
        machine = machine or slot.machine
        if machine is None:
            return f"its worker on node {place.node.name} ended"
        log = f"; its output is in {machine.log} there" if machine.log else ""
        return f"its worker, process {machine.process} on node {place.node.name}, ended{log}"

    def _enter(self, slot: Slot, stage: Stage) -> None:
        slot.stage, slot.since = stage, self._clock()
