"""What records say of the shards that a cell was run in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.records.schema import Counts, Record
from harness.sweep import Shard


def has_shards(record: Record) -> bool:
    """Says whether a record is of some shards of the pairs asked for, and not of all."""
    shard = record.counts.shard if record.counts else None
    return bool(shard) or any(info.shards for info in record.localizers.values())


def shards_in(record: Record) -> set[str]:
    """The shards that a cell was run on, by any localizer."""
    names = {record.counts.shard} if record.counts and record.counts.shard else set()
    return names.union(*(info.shards for info in record.localizers.values()))


def asked_in(counts: Counts) -> int:
    """Number of pairs that a run asked for, had it had no `--shard`."""
    possible = counts.pairs - counts.excluded
    return possible if counts.limit is None else min(counts.limit, possible)


def largest_limit(known: Sequence[Counts]) -> int | None:
    """The limit of the run that asked for most pairs."""
    limits = [counts.limit for counts in known]
    return None if None in limits else max(limit for limit in limits if limit is not None)


def in_order_of_number(names: Iterable[str]) -> list[str]:
    """Names of shards, each once, in the order of their numbers."""
    shards = {Shard.parse(name) for name in names}
    return [str(shard) for shard in sorted(shards, key=lambda shard: (shard.count, shard.number))]
