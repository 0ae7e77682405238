"""Shards of a cell that no part has, and where they are instead."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from harness.housekeeping.parts import Part
from harness.housekeeping.same_cell import describe_difference
from harness.housekeeping.shards import asked_in, has_shards, in_order_of_number, shards_in
from harness.messages import counted, listed
from harness.records.runs import StoredCell
from harness.records.schema import Counts, LocalizerInfo, Record
from harness.sweep import Shard

_MOST_NAMED = 12
"""Most missing shards that are named one by one."""


@dataclass(frozen=True)
class Gap:
    """What is missing of a cell that was run in shards.

    Attributes:
        shards: names of those that are missing, by any localizer.
        text: what is missing, and what to do.
    """

    shards: frozenset[str]
    text: str


def find_gap(
    counts: Counts | None, localizers: Mapping[str, LocalizerInfo], parts: Sequence[Part]
) -> Gap | None:
    """What is missing of a cell; None where it has all pairs that were asked for, or was not cut.

    Args:
        counts: of all parts together.
        localizers: localizer -> the pairs and shards of all parts.
        parts: of the cell, those without numbers too.
    """
    missing: dict[str, list[str]] = {}
    for name, info in localizers.items():
        if not info.shards or counts is None:
            continue
        asked = asked_in(counts)
        lacking = asked - info.pairs - info.failed
        if problem := _contradiction(info.shards, parts):
            text = f"{problem}, and {counted(lacking, 'pair')} of {asked:,} are in none of them"
            return Gap(frozenset(), f"{text}; run all shards of one N and one --limit")
        missing[name] = _others(Shard.parse(info.shards[0]).count, info.shards, asked)
        if not missing[name]:
            text = f"{counted(lacking, 'pair')} of {asked:,} are in no part, though every shard is there"
            return Gap(frozenset(), f"{text}; run them again")
    if not localizers:
        missing = _missing_of_failed(parts)
    missing = {name: names for name, names in missing.items() if names}
    if not missing:
        return None
    every = in_order_of_number(name for names in missing.values() for name in names)
    is_same = len(missing) >= len(localizers) and all(names == every for names in missing.values())
    texts = _shortened(every)
    if not is_same:
        texts = [f"{listed(_shortened(names))} by {localizer}" for localizer, names in missing.items()]
    return Gap(frozenset(every), f"{_subject(every, texts)} missing{_failed_text(parts)}")


def _contradiction(shards: Sequence[str], parts: Sequence[Part]) -> str:
    """The reason why shards do not add up; empty where they do."""
    counts = {Shard.parse(name).count for name in shards}
    if len(counts) > 1:
        return f"its shards are of different cuts ({listed(_shortened(shards))})"
    known = [part.record.counts for part in parts if part.record.counts and has_shards(part.record)]
    limits = {counts.limit for counts in known}
    if len(limits) > 1:
        texts = sorted("none" if limit is None else f"{limit:,}" for limit in limits)
        return f"its shards are of runs with different --limit ({listed(texts)})"
    return ""


def _others(count: int, shards: Collection[str], asked: int) -> list[str]:
    """The shards of one cut besides some of them, without those that are empty since there are few pairs."""
    names = (str(Shard(number, count)) for number in range(1, min(count, asked) + 1))
    return [name for name in names if name not in shards]


def _missing_of_failed(parts: Sequence[Part]) -> dict[str, list[str]]:
    """All shards of a cell of which no part has numbers, under one empty name."""
    for part in parts:
        counts = part.record.counts
        if counts and counts.shard:
            return {"": _others(Shard.parse(counts.shard).count, (), asked_in(counts))}
    return {}


def _subject(names: Sequence[str], texts: Sequence[str] = ()) -> str:
    """`shard 2/8 is`, `shards 2/8 and 5/8 are`.

    Args:
        texts: stand in the place of the names.
    """
    noun, verb = ("shard", "is") if len(names) == 1 else ("shards", "are")
    return f"{noun} {listed(texts or _shortened(names))} {verb}"


def _shortened(names: Sequence[str]) -> list[str]:
    if len(names) <= _MOST_NAMED:
        return list(names)
    return [*names[:_MOST_NAMED], f"{len(names) - _MOST_NAMED:,} more"]


def _failed_text(parts: Sequence[Part]) -> str:
    """` (3/8 failed in DIR: no such file); run it`."""
    texts = []
    for part in parts:
        record = part.record
        if record.error and not record.failures and record.counts and record.counts.shard:
            texts.append(f"{record.counts.shard} failed in {part.home}: {record.error.message}")
    reason = f" ({'; '.join(texts)})" if texts else ""
    return f"{reason}; run what is missing"


def describe_other_version(record: Record, gap: Gap, others: Sequence[StoredCell]) -> str:
    """A line on cells of the same name that have the missing shards and were made by other code or files.

    A cell's id follows from these: the parts of one sweep that was run by two versions have two ids.

    Args:
        others: all other cells that were run in shards.

    Returns:
        Empty where there is none.
    """
    for other in others:
        shared = in_order_of_number(gap.shards & shards_in(other.record))
        if shared and _row_of(other.record) == _row_of(record):
            difference = describe_difference(record, other.record)
            return (
                f"{record.cell.id}: {_subject(shared)} there as {other.folder}, made with other "
                f"{difference}; run all shards with the same versions and files"
            )
    return ""


def _row_of(record: Record) -> tuple[object, ...]:
    """What the user asked for, which two versions have in common."""
    cell = record.cell
    params = sorted(cell.params.items())
    return cell.method, cell.extractor, cell.prompt, repr(params), cell.dataset, cell.split, cell.seed
