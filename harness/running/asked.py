"""Which pairs of a split a run asks for, and which shards of them are there."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from functools import lru_cache

from harness.datasets.selection import predictable_pairs
from harness.datasets.sharding import cut_into_shards
from harness.datasets.splits import SplitIndex
from harness.running.resources import RunOptions
from harness.sweep import Shard


def asked_pairs(index: SplitIndex, options: RunOptions) -> tuple[str, ...]:
    """The pairs that a run predicts, those of earlier runs included, in the dataset's order.

    All that have a valid point, or `--limit` of them; with `--shard` those of its shard.
    """
    if options.shard is None:
        return _pairs_of_all_shards(index, options.limit)
    shards = _cut(index, options.limit, options.shard.count)
    return shards[options.shard.number - 1] if options.shard.number <= len(shards) else ()


def is_without_shards(index: SplitIndex, options: RunOptions, tried: AbstractSet[str]) -> bool:
    """Says whether pairs are all that the run would ask for without `--shard`, or more."""
    return tried >= frozenset(_pairs_of_all_shards(index, options.limit))


def covered_shards(
    index: SplitIndex, options: RunOptions, tried: AbstractSet[str], earlier: Sequence[str] = ()
) -> list[str]:
    """Names of the shards of which every pair was tried; none where nothing is cut, or nothing is missing.

    Args:
        tried: pairs that are predicted or have failed.
        earlier: names of shards that earlier runs covered: their pairs may be cut into another number.
    """
    counts = {Shard.parse(name).count for name in earlier}
    if options.shard:
        counts.add(options.shard.count)
    if not counts or is_without_shards(index, options, tried):
        return []
    names: list[str] = []
    for count in sorted(counts):
        for number, pairs in enumerate(_cut(index, options.limit, count), start=1):
            if tried >= frozenset(pairs):
                names.append(str(Shard(number, count)))
    return names


# Several times for each cell, and once for each file that is written while it runs.
@lru_cache(maxsize=32)
def _pairs_of_all_shards(index: SplitIndex, limit: int | None) -> tuple[str, ...]:
    return tuple(predictable_pairs(index, limit))


@lru_cache(maxsize=32)
def _cut(index: SplitIndex, limit: int | None, count: int) -> tuple[tuple[str, ...], ...]:
    return tuple(map(tuple, cut_into_shards(index, _pairs_of_all_shards(index, limit), count)))
