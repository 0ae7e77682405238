"""Scores by an earlier rule of a protocol are not ranked among those by the present one."""

from __future__ import annotations

from support.made_up_records import a_record, a_timestep_record, with_provenance
from support.views import table_of

from harness.tables.leaderboard import leaderboard
from harness.tables.prompt_types import prompt_types
from harness.tables.sweep import sweep


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


def test_what_has_no_words_is_told_by_its_hash_in_every_table():
    """How a protocol compares and clamps, and the code of its threshold's function."""
    measures = ({"sd4match": rule} for rule in ("old", "new", "new"))
    records = [
        with_rule(a_record(method, 90.0, prompt="empty"), day).model_copy(update={"measures": next(measures)})
        for day, method in enumerate("abc", start=1)
    ]
    words = "birds: by an earlier rule of sd4match: its definition or code was another there; 'bench rescore'"
    told = rows(records)
    assert told["a"][0] == "" and told["a"][1].startswith(words)
    assert {told["b"][1], told["c"][1]} == {""}
    steps = [a_timestep_record("m", step, 50.0) for step in (1, 2, 3)]
    swept = [
        with_rule(step, day).model_copy(update={"measures": records[day - 1].measures})
        for day, step in enumerate(steps, start=1)
    ]
    for table in (table_of(prompt_types, records), table_of(sweep, swept)):
        assert sum("by an earlier rule of sd4match: its definition" in row[-1] for row in table.rows) == 1
    before = [record.model_copy(update={"measures": {}}) for record in records[:1]]
    assert rows([*before, *records[1:]])["a"][1] == ""
