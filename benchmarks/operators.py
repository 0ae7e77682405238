"""Shares of a call's seconds by kind of operation: what would have to be faster for the call to be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import report
import torch
from measuring import Call, synchronise

KINDS: Mapping[str, tuple[str, ...]] = {
    "convolutions": ("conv",),
    "attention": ("scaled_dot_product", "flash_attention", "softmax"),
    "matrix products": ("addmm", "mm", "bmm", "baddbmm", "linear", "matmul"),
    "norms": ("norm",),
}
"""Kind -> parts of the names of PyTorch's operations; the first that fits counts."""

REST = "all else"

READING = (
    "Seconds within PyTorch's operations, by its profiler, of one call each. Matrix products are those of "
    "linear layers; all else is copies between layouts, activations and sums."
)


def shares_of(call: Call, device: str) -> dict[str, float]:
    """Kind of operation -> share of the seconds of one call, of the GPU or, without one, of the CPU.

    The call is made once before, to warm up.
    """
    on_gpu = device.startswith("cuda")
    activities = [torch.profiler.ProfilerActivity.CPU]
    if on_gpu:
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    call()
    synchronise(device)
    with torch.profiler.profile(activities=activities) as profile:
        call()
        synchronise(device)
    seconds: Counter[str] = Counter()
    for event in profile.key_averages():
        own = event.self_device_time_total if on_gpu else event.self_cpu_time_total
        seconds[kind_of(event.key)] += own
    total = sum(seconds.values())
    return {kind: seconds[kind] / total for kind in (*KINDS, REST)}


def kind_of(operation: str) -> str:
    """Kind of an operation of PyTorch, by its name, such as `aten::native_group_norm`."""
    name = operation.lower()
    for kind, parts in KINDS.items():
        if any(part in name for part in parts):
            return kind
    return REST


def tabulate_shares(shares: Mapping[str, Mapping[str, float]]) -> str:
    """The table, a row for each call."""
    rows = []
    for name, by_kind in shares.items():
        rows.append([name, *(f"{100 * share:.0f} %" for share in by_kind.values())])
    return report.plain(["of the seconds", *KINDS, REST], rows)
