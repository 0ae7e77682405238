"""Parts of every training's loop: how often it logs, when it stops, and kernels that add in a fixed order."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from harness.errors import BenchError

MILESTONES = 60
"""Lines of the log over a whole training; at most one for each step, and at least one for each 100 steps."""


class Diverged(BenchError):
    """The loss is not finite. The checkpoint of an earlier step is unchanged."""


def log_interval(steps: int) -> int:
    """Steps between lines of the log, of so many steps in all."""
    return max(1, min(100, steps // MILESTONES))


def copy_state(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Parameters and buffers of a module, which later steps do not change."""
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


def describe_kept(saved: int) -> str:
    """What a training that could not be written leaves, as the end of a message.

    Args:
        saved: step of the checkpoint on disk; 0 where there is none.
    """
    step = f"the checkpoint of step {saved:,} is kept" if saved else "no step has been saved yet"
    return f"{step}, and the same command goes on from there"


@contextmanager
def deterministic_kernels(device: torch.device) -> Iterator[None]:
    """On a GPU, selects kernels that add in a fixed order, so that a training that was stopped gives the
    bytes of one that was not.
    """
    if device.type != "cuda":
        yield
        return
    was_deterministic = torch.are_deterministic_algorithms_enabled()
    was_warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with warnings.catch_warnings():
            # torch warns of the gradient of pooling; but windows share at most one patch, so it is a sum of
            # two numbers.
            warnings.filterwarnings("ignore", message=".*does not have a deterministic implementation")
            yield
    finally:
        torch.use_deterministic_algorithms(was_deterministic, warn_only=was_warn_only)
