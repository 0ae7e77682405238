"""The column "tuned on", and the remark on a row that was tuned on the very split of its numbers."""

from __future__ import annotations

import csv
import io
import json

import pytest
from support.made_up_records import a_record, with_provenance
from support.views import table_of

from harness.records.schema import CellInfo
from harness.tables.categories import per_category
from harness.tables.generalisation import generalisation
from harness.tables.leaderboard import leaderboard
from harness.tables.paper_files import read_reported
from harness.tables.tidy import tidy_rows


def of(method, tuned_on, *, dataset="birds", split="test", started=None, **more):
    record = a_record(method, identity=f"{method}{dataset}".ljust(12, "0")[:12], dataset=dataset, **more)
    cell = record.cell.model_copy(update={"tuned_on": tuned_on, "split": split})
    return record.model_copy(update={"cell": cell})


def rows_of(table):
    return [dict(zip(table.header, row, strict=True)) for row in table.rows]


@pytest.mark.parametrize(
    ("tuned_on", "text", "tidy"),
    [
        (None, "–", None),
        ((), "nothing", "nothing"),
        (("fish/val",), "fish/val", "fish/val"),
        (("fish/?",), "fish/?", "fish/?"),
        (("fish/test",), "fish test split", "fish/test"),
        (("a/b/test",), "a/b test split", "a/b/test"),
        (("fish/test", "fish/val"), "fish test split, fish/val", "fish/test+fish/val"),
        (("not stated", "user's choice"), "not stated, user's choice", "not stated+user's choice"),
    ],
)
def test_every_table_says_it(tuned_on, text, tidy):
    records = [of("mine", tuned_on)]
    (categories,) = table_of(per_category, records)
    others = table_of(leaderboard, records, has_details=True), table_of(generalisation, records)
    for table in (categories, *others):
        (row,) = rows_of(table)
        assert (row["tuned on"], row["note"]) == (text, "")
    assert {row["tuned_on"] for row in tidy_rows(records)} == {tidy}
    assert {row["tuned_on"] for row in json.loads(others[0].render("json"))} == {tidy}
    lines = csv.DictReader(io.StringIO(others[0].render("csv")))
    assert {line["tuned_on"] for line in lines} == {tidy or ""}


@pytest.mark.parametrize(
    ("split", "remark"),
    [
        ("test", "birds: parameters were chosen on this test split"),
        ("val", "birds/val: parameters were chosen on this split"),
        ("test-reversed", "birds/test-reversed: parameters were chosen on this test split"),
        ("train", ""),
    ],
)
def test_numbers_of_the_split_that_parameters_were_chosen_on_are_told(split, remark):
    records = [of("mine", ("birds/test", "birds/val"), split=split), of("floor", (), split=split)]
    (categories,) = table_of(per_category, records)
    for table in (categories, table_of(generalisation, records), table_of(leaderboard, records)):
        assert {row["method"]: row["note"] for row in rows_of(table)} == {"mine": remark, "floor": ""}
    # A remark, unlike a note, leaves a row its place.
    assert [row["#"] for row in rows_of(table_of(leaderboard, records))] == ["1", "2"]


def test_data_are_known_by_their_own_name():
    """A folder has two sets of data of one name, told apart by their manifests."""
    records = [
        with_provenance(of("mine", ("birds/test",)), manifest="a" * 64),
        with_provenance(of("other", ()), manifest="b" * 64),
    ]
    rows = {row["method"]: row["note"] for row in rows_of(table_of(leaderboard, records))}
    assert "birds: parameters were chosen on this test split" in rows["mine"]
    assert "chosen" not in rows["other"]


def test_records_of_several_datasets_are_one_row():
    """A row has what any of its records says; those of before the field say nothing."""
    records = [of("mine", ("fish/val",)), of("mine", None, dataset="fish"), of("mine", (), dataset="cats")]
    (row,) = rows_of(table_of(leaderboard, records, has_details=True))
    assert (row["tuned on"], row["note"]) == ("fish/val", "")


def test_records_of_before_are_read():
    fields = a_record().cell.model_dump(mode="json")
    del fields["tuned_on"]
    assert CellInfo.model_validate(fields).tuned_on is None
    written = of("mine", ("a/val", "not stated")).cell.model_dump_json()
    assert CellInfo.model_validate_json(written).tuned_on == ("a/val", "not stated")


def test_papers_do_not_say_it():
    table = table_of(
        leaderboard, [of("mine", (), dataset="spair-71k")], has_details=True, reported=read_reported()
    )
    reported = [row for row in rows_of(table) if "(reported)" in row["method"]]
    assert {row["tuned on"] for row in reported} == {"–"}
    tidy = [row for row in table.tidy if row["source"] == "reported"]
    assert {row["tuned_on"] for row in tidy} == {None}
    assert {"spair-71k", ""} <= {row["trained_on"] for row in tidy}
