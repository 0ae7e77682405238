"""On a page, a leaderboard's numbers stand right behind what tells its rows apart."""

from __future__ import annotations

from support.made_up_records import a_record
from support.views import view_of

from harness.report.html_table import make_html_table
from harness.report.series import series_by_split
from harness.tables.constant_columns import numbers_first, split_constant_columns
from harness.tables.table import Table

HEADER = ("#", "method", "prompt", "localizer", "backbone", "birds @0.10", "t", "seeds", "note")


def make_table(*rows):
    return Table("PCK.", HEADER, rows, names=5, marks={(0, 5): "best"})


def test_numbers_come_first_and_what_rows_share_is_a_sentence():
    table = make_table(
        ("1", "a", "none", "argmax", "x@1", "50.0 ±1.0", "–", "1 seed", ""),
        ("2", "b", "none", "argmax", "y@2", "40.0 ±1.0", "50", "1 seed", "limited"),
    )
    page_table = make_html_table(table, "key", "Title", arranged=True)
    assert page_table.header == ("#", "method", "birds @0.10", "backbone", "t", "note")
    assert page_table.caption == "PCK. All rows: prompt none, localizer argmax, 1 seed."
    assert [field.text for field in page_table.rows[1]] == ["2", "b", "40.0 ±1.0", "y@2", "50", "limited"]
    assert [field.mark for field in page_table.rows[0]] == [None, None, "best", None, None, None]
    assert [field.is_numeric for field in page_table.rows[0]] == [True, False, True, False, True, False]
    assert [menu.column for menu in page_table.menus] == [1]


def test_what_tells_rows_of_one_method_apart_stays_before_the_numbers():
    rows = (
        ("1", "a", "none", "argmax", "x@1", "50.0", "–", "1 seed", ""),
        ("2", "a", "none", "bilinear", "x@1", "40.0", "–", "1 seed", ""),
    )
    order = [HEADER[column] for column in numbers_first(HEADER, rows, 5)]
    assert order[:5] == ["#", "method", "prompt", "localizer", "birds @0.10"]
    assert sorted(order) == sorted(HEADER)


def test_one_row_and_equal_numbers_keep_their_columns():
    row = ("1", "a", "none", "argmax", "x@1", "50.0", "–", "1 seed", "")
    assert split_constant_columns(HEADER, [row], 5) == (list(range(9)), "")
    kept, _ = split_constant_columns(HEADER, [row, row], 5)
    assert [HEADER[column] for column in kept] == ["#", "method", "birds @0.10", "note"]


def test_another_table_keeps_the_order_of_its_columns():
    row = ("1", "a", "none", "argmax", "x@1", "50.0", "–", "1 seed", "")
    assert make_html_table(make_table(row, row), "key", "Title").header == HEADER


def test_a_method_has_one_colour_whatever_its_localizer_on_a_dataset():
    """Two of its localizers on one chart differ; those of two datasets' charts are the method's both."""
    records = [
        a_record("a", 50.0, localizers=("bilinear",)),
        a_record("b", 40.0),
        a_record("a", 30.0, dataset="fish"),
        a_record("a", 20.0, dataset="fish", prompt="empty"),
    ]
    styles = {}
    for split in series_by_split(records, view_of(records)):
        for series in split.series:
            styles[split.dataset, series.label, series.localizer, series.record.cell.prompt] = series.style
    birds, fish = sorted({dataset for dataset, *_ in styles})
    own = {key: style for key, style in styles.items() if key[1] == "a"}
    on_birds = [style for key, style in own.items() if key[0] == birds]
    on_fish = [style for key, style in own.items() if key[0] == fish]
    assert len(on_birds) == 1
    assert on_birds[0] in on_fish
    assert len(set(on_fish)) == 2
    assert styles[birds, "b", "argmax", "none"] not in on_fish
