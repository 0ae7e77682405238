"""How many workers each node of a cluster gets, and what each of them asks for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.messages import counted


@dataclass(frozen=True)
class Node:
    """A machine of the cluster.

    Attributes:
        id: the cluster's own name for it.
        name: what messages call it.
        cpus, gpus: all it has, in use or not.
    """

    id: str
    name: str
    is_alive: bool = True
    cpus: float = 0.0
    gpus: float = 0.0


@dataclass(frozen=True)
class Demand:
    """What each worker asks for.

    Attributes:
        threads: of PyTorch; a core is asked for each, as far as the node has them.
        workers_per_node: None for as many as GPUs, or cores, are enough for.
    """

    threads: int
    gpus: float
    workers_per_node: int | None = None

    def workers_on(self, node: Node) -> int:
        """Number of workers for a node; 0 for one that lacks what a worker needs."""
        if not node.is_alive or not node.cpus or (self.gpus and node.gpus < self.gpus):
            return 0
        if self.workers_per_node is not None:
            enough = math.floor(node.gpus / self.gpus + 1e-9) if self.gpus else self.workers_per_node
            return min(self.workers_per_node, enough)
        if self.gpus:
            return math.floor(node.gpus / self.gpus + 1e-9)
        return max(1, int(node.cpus) // self.threads)

    def cpus_on(self, node: Node) -> float:
        """Cores that each worker of a node asks for: never so many that one of them would not start."""
        share = node.cpus / max(1, self.workers_on(node))
        # In hundredths, and never more than there are.
        return min(float(self.threads), math.floor(share * 100) / 100)

    @property
    def text(self) -> str:
        """`1 GPU and 8 threads`."""
        threads = counted(self.threads, "thread")
        if not self.gpus:
            return threads
        gpus = "1 GPU" if self.gpus == 1 else f"{self.gpus:g} GPUs"
        return f"{gpus} and {threads}"


def resources_text(nodes: Sequence[Node]) -> str:
    """What a cluster has: `2 nodes with 16 CPUs and no GPU`."""
    alive = [node for node in nodes if node.is_alive]
    cpus, gpus = sum(node.cpus for node in alive), sum(node.gpus for node in alive)
    gpu_text = counted(int(gpus), "GPU") if gpus else "no GPU"
    return f"{counted(len(alive), 'node')} with {counted(int(cpus), 'CPU')} and {gpu_text}"


def node_of(entry: Mapping[str, object]) -> Node:
    """A node as Ray lists it."""
    resources = entry.get("Resources")
    amounts = resources if isinstance(resources, Mapping) else {}
    name, address = str(entry["NodeManagerHostname"]), str(entry["NodeManagerAddress"])
    return Node(
        id=str(entry["NodeID"]),
        name=name if name == address else f"{name} ({address})",
        is_alive=bool(entry["Alive"]),
        cpus=float(amounts.get("CPU", 0.0)),
        gpus=float(amounts.get("GPU", 0.0)),
    )
