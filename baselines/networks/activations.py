"""Outputs of a network's submodules, read while it runs; nothing after the last of them is computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


class _AllRecorded(Exception):
    """Leaves the network's forward pass: every output that was asked for is recorded."""


@contextmanager
def record_outputs(modules: Mapping[str, Any], outputs: dict[str, Any]) -> Iterator[None]:
    """Records the outputs of submodules during the `with` block, and leaves the block after the last of them.

    Args:
        modules: name -> submodule of the network that runs in the block.
        outputs: gets name -> output, as the submodule returned it.
    """

    def recorder(name: str) -> Callable[[Any, Any, Any], None]:
        def record(module: Any, inputs: Any, output: Any) -> None:
            outputs[name] = output
            if len(outputs) == len(modules):
                # An exception ends the pass at once, with the bits of a full one and no copy of its code.
                raise _AllRecorded

        return record

    hooks = []
    for name, module in modules.items():
        hooks.append(module.register_forward_hook(recorder(name)))
    try:
        yield
    except _AllRecorded:
        pass
    finally:
        # A hook that stayed would cut later passes short, too.
        for hook in hooks:
            hook.remove()


def concatenate_outputs(
    chunks: Sequence[Mapping[str, torch.Tensor]], names: Sequence[str]
) -> dict[str, torch.Tensor]:
    """Joins outputs of chunks of a batch: name -> (n, ...)."""
    import torch

    joined = {}
    for name in names:
        joined[name] = torch.cat([chunk[name] for chunk in chunks])
    return joined
