"""`--columns`: which columns a table has, in which order, and what its caption says of those left out."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from support.made_up_records import a_record, with_provenance
from support.photos import make_photos

from harness.errors import UserError
from harness.tables.column_choice import choose_columns, choose_tidy_columns
from harness.tables.leaderboard import leaderboard
from harness.tables.view import View

VIEW = View(has_details=True)


def table_of(*records, view=VIEW):
    return leaderboard(records, view)


def with_cell(record, **values):
    return record.model_copy(update={"cell": record.cell.model_copy(update=values)})


def test_columns_are_chosen_and_ordered_by_name():
    (table,) = choose_columns([table_of(a_record("a", 50.0), a_record("b", 40.0))], ["birds@.1", "method"])
    assert table.header == ("birds @0.10", "method")
    assert [row[1] for row in table.rows] == ["a", "b"]
    assert table.marks == {(0, 0): "best", (1, 0): "second"}
    md = table.render("md").splitlines()
    assert md[2].split("|")[1].strip() == "birds @0.10"
    assert md[3].split("|")[1].endswith(":") and md[3].split("|")[2].startswith(":")


@pytest.mark.parametrize(
    ("name", "titles"),
    [
        ("pck", ("birds @0.05", "birds @0.10", "fish @0.05", "fish @0.10")),
        ("fish", ("fish @0.05", "fish @0.10")),
        ("BIRDS @0.1", ("birds @0.10",)),
        ("trained_on", ("trained on",)),
        ("place", ("#",)),
        ("supervision", ("sup.",)),
        ("notes", ("note",)),
    ],
)
def test_names_of_columns(name, titles):
    table = table_of(a_record("a"), a_record("a", dataset="fish"))
    (chosen,) = choose_columns([table], ["method", name])
    assert chosen.header == ("method", *titles)


def test_an_unknown_column_is_named_with_the_nearest_and_the_list():
    with pytest.raises(
        UserError, match=r"--columns brds@0.1: no such column; did you mean birds@0.10"
    ) as caught:
        choose_columns([table_of(a_record())], ["brds@0.1"])
    assert "there are #, method, prompt, localizer, backbone, pck, birds@0.05, birds@0.10, sup." in str(
        caught.value
    )


def test_notes_that_are_left_out_stand_in_the_caption():
    records = [a_record("a"), a_record("b", stored=5), a_record("c", protocols=["original"])]
    (table,) = choose_columns([table_of(*records)], ["method", "pck"])
    assert "Note on b: birds: limited to 5 of 10 pairs" in table.caption
    assert "Note on c: protocol original." in table.caption
    (with_notes,) = choose_columns([table_of(*records)], ["method", "pck", "note"])
    assert "Note on" not in with_notes.caption and with_notes.has_notes


def test_backbones_that_are_left_out_stand_in_the_caption():
    same = [a_record("a"), a_record("b")]
    assert "Backbone: none." in choose_columns([table_of(*same)], ["method", "pck"])[0].caption
    other = with_cell(a_record("c"), backbone="tiny@12345678")
    (table,) = choose_columns([table_of(*same, other)], ["method", "pck"])
    assert "Backbone: a and b none; c tiny@12345678." in table.caption


def test_rows_that_read_alike_are_told_apart_in_the_caption():
    records = [a_record("a", 50.0, prompt="empty"), a_record("a", 40.0, prompt="category")]
    (table,) = choose_columns([table_of(*records)], ["method", "pck"])
    assert "Rows called a differ, in their order, in prompt (empty, category)." in table.caption
    assert "Note on" not in table.caption
    (with_prompt,) = choose_columns([table_of(*records)], ["method", "prompt", "pck"])
    assert "differ, in their order" not in with_prompt.caption


def test_notes_name_rows_that_read_alike_by_what_sets_them_apart():
    records = [a_record("a", prompt="empty", stored=5), a_record("a", prompt="category", stored=5)]
    (table,) = choose_columns([table_of(*records)], ["method", "pck"])
    # The note of both is the same, and says so once.
    assert table.caption.count("limited to 5 of 10 pairs") == 1
    assert "Note on a category and a empty: " in table.caption or "Note on a empty and a category: " in (
        table.caption
    )


def test_an_order_by_a_hidden_dataset_is_told():
    table = table_of(a_record("a"), a_record("a", dataset="fish"))
    (chosen,) = choose_columns([table], ["method", "birds"])
    assert "Rows are in order of all datasets, of fish, too." in chosen.caption
    assert "all datasets" not in choose_columns([table], ["method", "pck"])[0].caption


def test_sentences_of_columns_that_are_left_out_go_with_them():
    records = [with_provenance(a_record("a")), with_provenance(a_record("b", 40.0))]
    table = table_of(*records)
    assert "Places are by the value" in table.caption
    (chosen,) = choose_columns([table], ["method", "pck"])
    assert "Places" not in chosen.caption
    assert "Places are by the value" in choose_columns([table], ["place", "method"])[0].caption
    assert "Bold" not in choose_columns([table], ["method", "note"])[0].caption


def test_marks_of_several_groups_need_the_column_of_supervision():
    records = [a_record("a", 50.0), a_record("b", 40.0)]
    records += [with_cell(a_record(name, pck), supervision="K") for name, pck in (("c", 60.0), ("d", 55.0))]
    table = table_of(*records)
    (without,) = choose_columns([table], ["method", "pck"])
    assert not without.marks and "Bold" not in without.caption
    (with_groups,) = choose_columns([table], ["method", "sup.", "pck"])
    assert with_groups.marks and "Bold" in with_groups.caption


def test_seeds_that_are_left_out_are_told():
    two = [a_record("a"), with_cell(a_record("a", identity="1" * 12), seed=1, label="a[seed=1]")]
    (table,) = choose_columns([table_of(*two)], ["method", "pck"])
    assert "Seeds: 2 seeds." in table.caption


def test_latex_of_few_columns_is_not_scaled():
    table = replace(table_of(a_record("a"), a_record("b", 40.0)))
    assert "resizebox" in table.render("tex")
    (chosen,) = choose_columns([table], ["method", "birds@0.10"])
    tex = chosen.render("tex")
    assert "resizebox" not in tex and "\\begin{tabular}{lr}" in tex


@pytest.mark.parametrize(
    "names", [["pck", "method", "note"], ["note", "pck"], ["pck"], ["note"], ["s/pair", "#"]]
)
@pytest.mark.parametrize("width", [50, 200])
def test_a_terminal_shows_columns_in_any_order(names, width):
    from harness.tables.plain import render_plain

    records = [a_record("a"), a_record("b", 40.0, stored=5)]
    (table,) = choose_columns([table_of(*records)], names)
    text = render_plain(table, width, has_colours=False)
    assert all(len(line) <= width for line in text.splitlines())
    if "pck" in names:
        assert "60.0" in text and "50.0" in text


def test_columns_of_csv_and_json_are_tidy_keys():
    table = table_of(a_record("a"), a_record("b", 40.0))
    (chosen,), lines = choose_tidy_columns([table], ["method", "PCK"])
    assert chosen.render("csv").splitlines()[0] == "method,pck"
    assert json.loads(chosen.render("json"))[0] == {"method": "a", "pck": 50.0}
    assert lines == ["--columns leaves out averaging, alpha and slice, in which rows differ"]
    with pytest.raises(UserError, match=r"no such column of csv and json; did you mean method\? there are"):
        choose_tidy_columns([table], ["methd"])


def test_the_command_chooses_columns(bench, tmp_path):
    data = f"folder={make_photos(tmp_path / 'photos', images=3)}"
    assert bench("run", "--methods", "position,hog", "--datasets", data, "--out", tmp_path / "r").status == 0
    tex = bench("leaderboard", tmp_path / "r", "--columns", "method,folder:photos@0.1", "--format", "tex")
    assert tex.status == 0 and "resizebox" not in tex.out and "Backbone: none." in tex.out
    csv = bench("leaderboard", tmp_path / "r", "--columns", "method,pck,alpha", "--format", "csv")
    assert csv.out.splitlines()[0] == "method,pck,alpha"
    assert "--columns leaves out" in csv.err and "slice" in csv.err
    wrong = bench("leaderboard", tmp_path / "r", "--columns", "methd")
    assert wrong.status == 2 and wrong.err.count("\n") == 1 and "did you mean method?" in wrong.err
    category = bench("leaderboard", tmp_path / "r", "--table", "per-category", "--columns", "method,all")
    assert category.status == 0 and "| method   |" in category.out
