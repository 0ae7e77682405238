"""How much of a split a record's numbers stand on, in words."""

from __future__ import annotations

from collections.abc import Sequence

from harness.messages import counted, failed_pairs, listed
from harness.records.schema import Counts, LocalizerInfo, Record
from harness.records.slices import category_of

_MOST_NAMED = 3
"""Most categories that are named one by one."""


def coverage_notes(record: Record, localizer: str, protocol: str = "") -> list[str]:
    """Reasons why numbers are not those of the whole split; none where they are.

    `limited to 60 of 250 pairs (6 in each of 10 categories)`, `limited to shard 3/8: 32 of 250 pairs`, `not
    whole: 6 pairs instead of the official 12,234`, `2 pairs failed`.

    Args:
        protocol: counts the pairs as well that cannot be scored under it.
    """
    info, counts = record.localizers.get(localizer), record.counts
    if info is None or counts is None:
        return []
    notes: list[str] = []
    if info.pairs and info.pairs + info.failed + counts.excluded < counts.pairs:
        notes.append(_limit_note(record, localizer, info, counts))
    if counts.official is not None and not counts.is_whole:
        notes.append(
            f"not whole: {counted(counts.pairs, 'pair')} instead of the official {counts.official:,}"
        )
    failed = record.failed_pairs(localizer, protocol)
    if failed:
        notes.append(failed_pairs(failed))
    return notes


def _limit_note(record: Record, localizer: str, info: LocalizerInfo, counts: Counts) -> str:
    possible = counted(counts.pairs - counts.excluded, "pair")
    # Pairs that failed were tried: they are no part of what --limit left out.
    note = f"limited to {shards_text(info.shards)}{info.pairs + info.failed:,} of {possible}"
    categories = _categories_text(record, localizer, counts)
    # Failed pairs have no score, and so no category here: the numbers must not seem to be all.
    of_scored = "scored: " if info.failed else ""
    return f"{note} ({of_scored}{categories})" if categories else note


def shards_text(shards: Sequence[str]) -> str:
    """`shard 3/8: `, `shards 1/8 and 3/8: `, `5 of 8 shards: `; empty where there are none."""
    if not shards:
        return ""
    counts = {name.partition("/")[2] for name in shards}
    if len(shards) > _MOST_NAMED and len(counts) == 1:
        return f"{len(shards)} of {counted(int(counts.pop()), 'shard')}: "
    return f"{'shard' if len(shards) == 1 else 'shards'} {listed(shards)}: "


def _categories_text(record: Record, localizer: str, counts: Counts) -> str:
    """The categories that scored pairs are of: `aeroplane only`, `6 in each of 10 categories`."""
    sizes: dict[str, int] = {}
    for score in record.scores:
        category = category_of(score.slice)
        if score.localizer == localizer and category is not None:
            sizes[category] = score.pairs
    # Of a split of one category, its name says nothing new.
    if not sizes or counts.categories == 1:
        return ""
    if len(sizes) == 1:
        return f"{next(iter(sizes))} only"
    least, most = min(sizes.values()), max(sizes.values())
    all_categories = counts.categories or len(sizes)
    of_categories = f"{len(sizes)} categories"
    if all_categories > len(sizes):
        of_categories = f"{len(sizes)} of {all_categories} categories"
    if least == most:
        return f"{least:,} in each of {of_categories}"
    if len(sizes) <= _MOST_NAMED:
        names = listed([f"{count:,} {name}" for name, count in sizes.items()])
        return f"{names}; {of_categories}"
    return f"{least:,} to {most:,} in each of {of_categories}"
