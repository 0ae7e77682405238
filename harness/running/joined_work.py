"""The account of a cell's work whose pairs were predicted by several processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.records.schema import CacheUse, Failure, Stage
from harness.records.tracebacks import join_tracebacks
from harness.running.predict import Work, in_dataset_order
from harness.running.resolve import ResolvedCell


def join_work(resolved: ResolvedCell, parts: Sequence[Work]) -> Work:
    """The account of all parts: pairs and seconds are sums over processes, memory is that of the largest.

    Args:
        parts: at least one.
    """
    failures: list[Failure] = []
    stages: dict[str, Stage] = {}
    cache: dict[str, CacheUse] = {}
    for part in parts:
        failures += part.failures
        for name, stage in part.stages.items():
            stages[name] = _joined_stage(stages[name], stage) if name in stages else stage
        for name, use in part.cache.items():
            known = cache.get(name, CacheUse(found=0, computed=0))
            cache[name] = CacheUse(found=known.found + use.found, computed=known.computed + use.computed)
    peaks = [part.gpu_peak_memory_bytes for part in parts if part.gpu_peak_memory_bytes is not None]
    return Work(
        started=min(part.started for part in parts),
        attempted=frozenset().union(*(part.attempted for part in parts)),
        computed=sum(part.computed for part in parts),
        failures=in_dataset_order(resolved, failures),
        tracebacks=join_tracebacks(part.tracebacks for part in parts),
        stages=stages,
        cache=cache,
        cache_trouble=next((part.cache_trouble for part in parts if part.cache_trouble), ""),
        gpu_peak_memory_bytes=max(peaks, default=None),
        hardware=_joined_hardware([part.hardware for part in parts]),
        workers=frozenset().union(*(part.workers for part in parts)),
    )


def _joined_hardware(machines: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """The facts of several machines as those of one; where they differ, all of them."""
    values: dict[str, list[str]] = {}
    for machine in machines:
        for name, value in machine.items():
            known = values.setdefault(name, [])
            if value not in known:
                known.append(value)
    return {name: " + ".join(sorted(known)) for name, known in values.items()}


def _joined_stage(left: Stage, right: Stage) -> Stage:
    return Stage(
        seconds=round(left.seconds + right.seconds, 4),
        peak_memory_bytes=max(left.peak_memory_bytes, right.peak_memory_bytes),
    )
