"""The processes that share a training, as `accelerate launch` and `torchrun` start them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from harness.errors import UserError

_TIMEOUT = timedelta(hours=12)
"""Longest wait of processes for each other: the slowest one encodes its share of the pictures meanwhile."""


@dataclass(frozen=True)
class Processes:
    """This process among those of the training.

    Attributes:
        rank: this process's number, from 0.
        count: number of processes.
        device: this process's device.
    """

    rank: int
    count: int
    device: str
    _wrapped: list[torch.nn.parallel.DistributedDataParallel] = field(
        default_factory=list, repr=False, compare=False
    )

    @property
    def is_main(self) -> bool:
        """True for the one process that writes files and messages."""
        return self.rank == 0

    def share(self, total: int) -> slice:
        """This process's part of `total` items in a row; the lengths of parts differ by one at most."""
        return slice(total * self.rank // self.count, total * (self.rank + 1) // self.count)

    def gather(self, value: Any) -> list[Any]:
        """Returns every process's value, in order of rank, as soon as all processes have given theirs."""
        if self.count == 1:
            return [value]
        values: list[Any] = [None] * self.count
        dist.all_gather_object(values, value)
        return values

    def wrap(self, module: torch.nn.Module, find_unused: bool) -> torch.nn.Module:
        """Returns a module whose call averages gradients over processes; the module itself where there is one
        process.

        Args:
            find_unused: True if a step may leave parameters out; those that no process used keep no gradient.
        """
        if self.count == 1:
            return module
        wrapped = torch.nn.parallel.DistributedDataParallel(module, find_unused_parameters=find_unused)
        self._wrapped.append(wrapped)
        return wrapped

    def leave(self) -> None:
        """Leaves the group for good: modules that were wrapped cannot be called any more.

        A module's reducer must not be the last to hold the group. Where Python frees it, it waits for gloo's
        threads with the interpreter locked, and one of them may be waiting for the interpreter, to free a
        tensor: neither would ever end. A group that Python itself frees waits with the interpreter unlocked.
        """
        for wrapped in self._wrapped:
            del wrapped.logger, wrapped.reducer
        self._wrapped.clear()
        dist.destroy_process_group()


def _read_number(name: str, text: str) -> int:
    """A launcher's variable. Raises `UserError`."""
    # Not `int` alone, which also reads signs, digits of other scripts and low lines.
    if not re.fullmatch("[0-9]{1,6}", text):
        raise UserError(f"{name} is {text!r:.40}, not a number; start with accelerate launch or torchrun")
    return int(text)


def count_processes() -> int:
    """Number of processes that a launcher has started, 1 without one. Raises `UserError` for no number."""
    return _read_number("WORLD_SIZE", os.environ.get("WORLD_SIZE", "1"))


@contextmanager
def join_processes(device: str) -> Iterator[Processes]:
    """Joins the processes that a launcher has started, if any, and leaves them after the block.

    Raises:
        UserError: a launcher's variables are incomplete, or no numbers.
    """
    count = count_processes()
    if count == 1:
        yield Processes(0, 1, device)
        return
    try:
        rank = _read_number("RANK", os.environ["RANK"])
        local = _read_number("LOCAL_RANK", os.environ["LOCAL_RANK"])
    except KeyError as error:
        raise UserError(
            f"WORLD_SIZE is {count} and {error} is not set; start with accelerate launch or torchrun"
        ) from error
    cuda = device.startswith("cuda")
    if cuda:
        device = f"cuda:{local}"
        torch.cuda.set_device(device)
    # Gloo beside NCCL: values that are gathered live on the CPU.
    dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=_TIMEOUT)
    processes = Processes(rank, count, device)
    try:
        yield processes
    finally:
        processes.leave()
