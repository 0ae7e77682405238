"""Scores by an earlier rule of a protocol are not ranked among those by the present one."""

from __future__ import annotations

from support.made_up_records import a_record, with_provenance
from support.views import table_of

from harness.tables.leaderboard import leaderboard


def with_rule(record, day, *, threshold="box", frame="original"):
    changed = {
        "thresholds": dict.fromkeys(record.thresholds, threshold),
        "frames": dict.fromkeys(record.thresholds, frame) if frame else {},
    }
    return with_provenance(record.model_copy(update=changed), started=f"2026-01-{day:02}T00:00:00")


def rows(records):
    table = table_of(leaderboard, records)
    return {row[1]: (row[0], row[-1]) for row in table.rows}


def test_another_threshold_or_frame_is_told_and_not_ranked():
    for field, value, words in (
        ("threshold", "10 pixels", "alpha multiplies 10 pixels there"),
        ("frame", "padded", "it was measured in the frame padded there"),
    ):
        earlier = with_rule(a_record("a", 90.0), 1, **{field: value})
        newer = with_rule(a_record("b", 10.0), 2)
        told = rows([earlier, newer])
        assert told["a"][0] == ""
        assert told["a"][1].startswith(f"birds: by an earlier rule of sd4match: {words}; 'bench rescore'")
        assert told["b"] == ("1", "")


def test_other_datasets_and_records_that_do_not_say_it_are_ranked():
    records = [
        with_rule(a_record("a", 90.0), 1, frame=None),
        with_rule(a_record("b", 10.0), 2),
    ]
    assert {place for place, _ in rows(records).values()} != {""}
    assert [note for _, note in rows(records).values()] == ["", ""]
    # What alpha multiplies is a dataset's own for most protocols.
    fish = [with_rule(a_record(name, 50.0, dataset="fish"), 3, threshold="image") for name in "ab"]
    assert [note for _, note in rows([*records, *fish]).values()] == ["", ""]
