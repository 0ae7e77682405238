"""Records whose scores are by an earlier rule of a protocol than those of others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.records.schema import Record
from harness.tables.columns import Split, split_of

_WORDS = {"thresholds": "alpha multiplies {} there", "frames": "it was measured in the frame {} there"}
"""Field of a record that has a part of a protocol's rule -> what it says."""


def notes_on_rules(records: Sequence[Record], protocol: str) -> dict[str, str]:
    """Cell id -> how its protocol's rule differs from the newest on the same split.

    A plugin's protocol may be edited between two runs, and scores stay as they were made until
    `bench rescore`: such numbers are of another measure, under the same name.
    """
    by_split: dict[Split, list[Record]] = {}
    for record in records:
        if record.scores and protocol in record.thresholds:
            by_split.setdefault(split_of(record), []).append(record)
    notes: dict[str, str] = {}
    for group in by_split.values():
        newest = max(group, key=_started)
        for record in group:
            if differences := _differences(record, newest, protocol):
                advice = "'bench rescore' scores it by the present one"
                notes[record.cell.id] = f"by an earlier rule of {protocol}: {differences}; {advice}"
    return notes


def _started(record: Record) -> tuple[str, str]:
    # The id decides between records that do not say when they were made: the order must not depend on theirs.
    return (record.provenance.started if record.provenance else "", record.cell.id)


def _differences(record: Record, newest: Record, protocol: str) -> str:
    texts = []
    for field, words in _WORDS.items():
        values: Mapping[str, str] = getattr(record, field)
        present: Mapping[str, str] = getattr(newest, field)
        # Records of earlier versions do not say the frame.
        if protocol in values and protocol in present and values[protocol] != present[protocol]:
            texts.append(words.format(values[protocol]))
    rule, present_rule = record.measures.get(protocol), newest.measures.get(protocol)
    if not texts and rule and present_rule and rule != present_rule:
        # How it compares or clamps, or the code of its threshold, which have no words in a record.
        texts.append("its definition or code was another there")
    return ", ".join(texts)
