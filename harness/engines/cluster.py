"""What a pool of workers needs of a cluster, in a few calls, whatever program runs the cluster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from harness.engines.placement import Node
from harness.running.predict import WantedPairs

Handle = object
"""A worker, as the cluster knows it."""

Ticket = object
"""An answer that is awaited, or a stream of them."""

Shared = object
"""Bytes that are in the cluster's memory."""


class Unreachable(Exception):
    """A worker does not answer: its process is gone and a new one may come, or nobody reaches its node."""


class Gone(Exception):
    """A worker is no more, and the cluster will not start it again."""


class Refused(Exception):
    """A worker's own code raised: the cause is that error."""


class Cluster(Protocol):
    """Nodes, and processes on them that are started again where they end."""

    def nodes(self) -> list[Node]:
        """All nodes, those that have left included."""

    def start(self, node: Node | None, cpus: float, gpus: float) -> Handle:
        """Starts a worker on a node once that has room; None for any node, also one that is still to come."""

    def end(self, worker: Handle) -> None:
        """Ends a worker for good."""

    def share(self, content: bytes) -> Shared:
        """Puts bytes where all workers can read them."""

    def ask(self, worker: Handle, question: str, *arguments: object) -> Ticket:
        """Calls a method of a worker."""

    def stream(self, worker: Handle, key: str, content: Shared, wanted: WantedPairs) -> Ticket:
        """Calls a worker's `work`."""

    def wait(self, tickets: Sequence[Ticket], seconds: float) -> list[Ticket]:
        """Those of the tickets that have an answer, as soon as one has, or none after so many seconds."""

    def answer(self, ticket: Ticket) -> object:
        """The answer that a ticket has, or the next one of a stream.

        Raises:
            Unreachable, Gone: the worker has died.
            Refused: its code raised.
            StopIteration: the stream has ended.
        """
