"""Measures seconds of alternating calls, peak memory, floating-point operations and the machine's ceiling."""

from __future__ import annotations

import ctypes
import gc
import statistics
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psutil
import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from baselines.networks.loading import DTYPES

Call = Callable[[], Any]


@dataclass(frozen=True)
class Timing:
    """Seconds of calls of one kind.

    Attributes:
        seconds: of each call; the warm-up is left out.
        peak_bytes: the most memory that the warm-up call needed besides what was held before it; None where
            it was not measured.
        flops: floating-point operations of the warm-up call: of convolutions, matrix products and attention
            alone, a multiplication and an addition being two; None where they were not counted.
    """

    seconds: tuple[float, ...]
    peak_bytes: int | None = None
    flops: int | None = None

    @property
    def median(self) -> float:
        """Median seconds of a call."""
        return statistics.median(self.seconds)


def synchronise(device: str) -> None:
    """Waits until a GPU is done; a CPU always is."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def seconds_of(call: Call, device: str) -> float:
    """Wall-clock seconds of one call."""
    # A GPU works on after a call has returned: what was begun before must not count.
    synchronise(device)
    start = time.perf_counter()
    call()
    synchronise(device)
    return time.perf_counter() - start


def alternating(
    calls: Mapping[str, Call], repeats: int, device: str, count_flops: bool = False
) -> dict[str, Timing]:
    """Times several calls in turn, so that whatever else the machine does falls on all of them alike.

    Each is called once before, to warm up. Its memory is measured meanwhile and, with `count_flops`, its
    operations are counted.
    """
    flops: dict[str, int | None] = dict.fromkeys(calls)
    peaks: dict[str, int] = {}
    for name, call in calls.items():
        # Counting operations slows a call down, so it is done in the call that is not timed.
        def warm_up(name: str = name, call: Call = call) -> None:
            if count_flops:
                flops[name] = flops_of(call)
            else:
                call()

        peaks[name] = peak_bytes(warm_up, device)
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            seconds[name].append(seconds_of(call, device))
    timings = {}
    for name in calls:
        timings[name] = Timing(tuple(seconds[name]), peaks[name], flops[name])
    return timings


def peak_bytes(call: Call, device: str, interval: float = 0.002) -> int:
    """The most memory that a call needs besides what is held before it.

    On a GPU that is what its allocator hands out; on a CPU the process's resident memory, read every
    `interval` seconds.
    """
    # Garbage that is collected meanwhile would hide as much new memory.
    gc.collect()
    if device.startswith("cuda"):
        synchronise(device)
        held = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        call()
        synchronise(device)
        return torch.cuda.max_memory_allocated(device) - held
    with suppress(OSError, AttributeError):
        # What was freed but not given back would be used again without being seen.
        ctypes.CDLL(None).malloc_trim(0)
    process, done = psutil.Process(), threading.Event()
    held = highest = process.memory_info().rss

    def watch() -> None:
        nonlocal highest
        while not done.wait(interval):
            highest = max(highest, process.memory_info().rss)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        call()
    finally:
        done.set()
        watcher.join()
    return max(highest, process.memory_info().rss) - held


def _attention(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    return int(sdpa_flop_count(query, key, value))


def _attention_backward(gradient: Any, query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    # The scores again, and the gradients of scores, queries, keys and values: five products, forward two.
    return int(sdpa_flop_count(query, key, value) * 5 // 2)


_CPU_ATTENTION = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}
"""PyTorch counts a GPU's fused attention, and not the CPU's."""


def flops_of(call: Call) -> int:
    """Floating-point operations of one call (see `Timing.flops`)."""
    with FlopCounterMode(display=False, custom_mapping=_CPU_ATTENTION) as counter:
        call()
    return int(counter.get_total_flops())


def ceiling(device: str, precision: str, seconds: float = 2.0) -> float:
    """Measures the most FLOP/s of the machine: the best product of two matrices within some seconds."""
    side = 8192 if device.startswith("cuda") else 2048
    left = torch.randn(side, side, device=device).to(DTYPES[precision])
    right = torch.randn(side, side, device=device).to(DTYPES[precision])
    best = float("inf")
    end = time.perf_counter() + seconds
    # The best, because whatever else the machine does can only slow a product down.
    while time.perf_counter() < end or best == float("inf"):
        best = min(best, seconds_of(lambda: left @ right, device))
    # A multiplication and an addition for each of side x side sums of `side` products.
    return 2 * side**3 / best
