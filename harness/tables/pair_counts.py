"""Where a cell's pairs have gone: planned = scored + failed + excluded."""

from __future__ import annotations

from collections.abc import Sequence

from harness.records.schema import Record
from harness.tables.text import split_name
from harness.tables.view import View


def pair_count_sentences(records: Sequence[Record], view: View) -> list[str]:
    """A sentence for each row of which pairs failed.

    `Pairs of dift, argmax, on pf-pascal: 299 planned = 296 scored + 2 failed + 1 excluded.`
    """
    sentences = []
    for record in records:
        for localizer in dict.fromkeys(score.localizer for score in record.scores if view.shows(score)):
            if sentence := _sentence(record, localizer, view.protocol):
                sentences.append(sentence)
    # Not in the order of the records, which is that of folders.
    return sorted(set(sentences))


def _sentence(record: Record, localizer: str, protocol: str) -> str:
    info, counts = record.localizers.get(localizer), record.counts
    failed = record.failed_pairs(localizer, protocol)
    if info is None or counts is None or not failed:
        return ""
    planned = info.pairs + info.failed
    excluded = ""
    if planned + counts.excluded == counts.pairs:
        planned = counts.pairs
        # Those without a single point that could be asked for.
        excluded = f" + {counts.excluded:,} excluded"
    scored = planned - failed - (counts.excluded if excluded else 0)
    cell = record.cell
    row = ", ".join([cell.label, *([] if cell.prompt == "none" else [cell.prompt]), localizer])
    where = split_name(cell.dataset, cell.split)
    return (
        f"Pairs of {row}, on {where}: {planned:,} planned = {scored:,} scored + {failed:,} failed{excluded}."
    )
