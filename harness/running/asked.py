"""Which pairs of a split a run asks for: the one place that says it."""

from __future__ import annotations

from functools import lru_cache

from harness.datasets.selection import predictable_pairs
from harness.datasets.sharding import pairs_of_shard
from harness.datasets.splits import SplitIndex
from harness.running.resources import RunOptions
from harness.sweep import Shard


def asked_pairs(index: SplitIndex, options: RunOptions) -> tuple[str, ...]:
    """The pairs that a run predicts, those of earlier runs included, in the dataset's order.

    All that have a valid point, or `--limit` of them; with `--shard` those of its shard.
    """
    return pairs_within(index, options.limit, options.shard)


# Several times for each cell, and once for each file that is written while it runs.
@lru_cache(maxsize=64)
def pairs_within(index: SplitIndex, limit: int | None, shard: Shard | None = None) -> tuple[str, ...]:
    """The pairs that runs with this limit and shard ask for, in the dataset's order."""
    if shard is None:
        return tuple(predictable_pairs(index, limit))
    return tuple(pairs_of_shard(index, pairs_within(index, limit), shard))
