"""Measures how large numbers inside a network become: half precision ends at 65,504."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F


@dataclass
class Range:
    """Of one network.

    Attributes:
        network: its name.
        largest: magnitude of the largest finite number that a submodule put out.
        where: the submodule.
        score: the largest dot product of a query and a key in attention, before it is scaled; 0 without
            attention.
        overflows: submodules that put out something infinite or NaN, each counted every time.
    """

    network: str
    largest: float = 0.0
    where: str = ""
    score: float = 0.0
    overflows: int = 0

    def note(self, name: str, output: Any) -> None:
        """Looks at what a submodule put out."""
        if not isinstance(output, torch.Tensor) or not output.is_floating_point():
            return
        output = output.detach()
        finite = output.isfinite()
        self.overflows += not bool(finite.all())
        # Something infinite would hide every finite number.
        largest = float(torch.where(finite, output, 0).abs().max())
        if largest > self.largest:
            self.largest, self.where = largest, name


@contextmanager
def ranges(networks: Mapping[str, torch.nn.Module]) -> Iterator[Callable[[], list[Range]]]:
    """Watches submodules and attention while inside, and gives a function that returns the ranges so far."""
    network_ranges = {name: Range(name) for name in networks}
    current: list[Range] = []
    hooks: list[Any] = []
    for name, network in networks.items():
        hooks += _hooks(network, network_ranges[name], current)
    # Attention has no submodule of its own whose inputs a hook could see.
    usual = F.scaled_dot_product_attention

    def watch_attention(query: torch.Tensor, key: torch.Tensor, *rest: Any, **options: Any) -> torch.Tensor:
        for network_range in current:
            # A head at a time: all of them at 768 x 768 are 1.7 GB.
            heads = zip(query.flatten(0, 1), key.flatten(0, 1), strict=True)
            for queries, keys in heads:
                scores = queries.float() @ keys.float().T
                network_range.score = max(network_range.score, float(scores.abs().max()))
        return usual(query, key, *rest, **options)

    F.scaled_dot_product_attention = watch_attention
    try:
        yield lambda: list(network_ranges.values())
    finally:
        F.scaled_dot_product_attention = usual
        for hook in hooks:
            hook.remove()


def _hooks(network: torch.nn.Module, network_range: Range, current: list[Range]) -> Iterator[Any]:
    """Notes what every submodule puts out, and before it which network is at work."""

    def begin(module: Any, inputs: Any) -> None:
        current[:] = [network_range]

    for name, module in network.named_modules():
        yield module.register_forward_pre_hook(begin)
        yield module.register_forward_hook(
            lambda module, inputs, output, name=name: network_range.note(name, output)
        )
