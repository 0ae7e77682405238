"""The processes that share a training, as `accelerate launch` and `torchrun` start them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from harness.errors import UserError

_PATIENCE = timedelta(hours=12)
"""How long processes wait for each other: the slowest one's share of the pictures is encoded meanwhile."""


@dataclass(frozen=True)
class Processes:
    """This process among those of the training.

    Attributes:
        rank: its number, from 0.
        count: how many there are.
        device: its own.
    """

    rank: int
    count: int
    device: str
    _wrapped: list[torch.nn.parallel.DistributedDataParallel] = field(
        default_factory=list, repr=False, compare=False
    )

    @property
    def main(self) -> bool:
        """Whether this is the one that writes and speaks."""
        return self.rank == 0

    def share(self, total: int) -> slice:
        """This process's part of `total` things in a row; parts differ by one at most."""
        return slice(total * self.rank // self.count, total * (self.rank + 1) // self.count)

    def gather(self, value: Any) -> list[Any]:
        """Every process's value, in order of rank."""
        if self.count == 1:
            return [value]
        values: list[Any] = [None] * self.count
        dist.all_gather_object(values, value)
        return values

    def wait(self) -> None:
        """Until all processes are here."""
        self.gather(None)

    def wrap(self, module: torch.nn.Module, find_unused: bool) -> torch.nn.Module:
        """The module whose call averages gradients over processes; the module itself where there is one process.

        Args:
            find_unused: whether a step may leave parameters out; those that no process used keep no gradient.
        """
        if self.count == 1:
            return module
        made = torch.nn.parallel.DistributedDataParallel(module, find_unused_parameters=find_unused)
        self._wrapped.append(made)
        return made

    def leave(self) -> None:
        """Parts with the others, for good: modules that were wrapped cannot be called any more.

        A module's reducer must not be what holds the group last. Where Python frees it, it waits for gloo's threads with the interpreter
        locked, and one of them may be waiting for the interpreter, to free a tensor: neither would ever end. A group that Python itself
        frees waits with the interpreter unlocked.
        """
        for made in self._wrapped:
            del made.logger, made.reducer
        self._wrapped.clear()
        dist.destroy_process_group()


@contextmanager
def processes(device: str) -> Iterator[Processes]:
    """Joins the processes that a launcher has started, if any.

    Raises:
        UserError: a launcher's variables are incomplete.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Processes(0, 1, device)
        return
    try:
        rank, local = int(os.environ["RANK"]), int(os.environ["LOCAL_RANK"])
    except KeyError as error:
        raise UserError(
            f"WORLD_SIZE is {count} and {error} is not set; start with accelerate launch or torchrun"
        ) from error
    cuda = device.startswith("cuda")
    if cuda:
        device = f"cuda:{local}"
        torch.cuda.set_device(device)
    # Gloo beside NCCL: numbers that are told and gathered live on the CPU.
    dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=_PATIENCE)
    mine = Processes(rank, count, device)
    try:
        yield mine
    finally:
        mine.leave()
