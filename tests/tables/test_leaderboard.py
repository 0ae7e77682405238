"""Leaderboards: tidy rows, five formats of the same numbers, and marks on what cannot be ranked."""

from __future__ import annotations

import csv
import io
import json
import re
import xml.etree.ElementTree as ElementTree

import pytest
from support.made_up_records import a_failed_record, a_record
from support.markdown import cells_of_markdown
from support.views import table_of

from harness.errors import UserError
from harness.records.schema import Error
from harness.tables.leaderboard import leaderboard
from harness.tables.table import FORMATS, TIDY_KEYS
from harness.tables.tidy import tidy_rows

PROMISED = (
    *(
        "method",
        "prompt",
        "localizer",
        "dataset",
        "split",
        "protocol",
        "averaging",
        "alpha",
        "slice",
        "pck",
        "low",
        "high",
    ),
    *("pairs", "keypoints", "failed", "backbone", "status", "source", "trained_on", "tuned_on", "seed"),
    *("images", "interval", "paper"),
)


def rows_of(records, **options):
    """Title -> text, of each row of the table."""
    table = table_of(leaderboard, records, **options)
    return [dict(zip(table.header, row, strict=True)) for row in table.rows]


def test_tidy_rows_have_the_promised_keys():
    rows = tidy_rows(
        [a_record(), a_failed_record(), a_record("half", stored=4), a_record("torn", stored=9, failed=1)]
    )
    assert TIDY_KEYS == PROMISED
    assert len(PROMISED) == 24
    assert all(tuple(row) == PROMISED for row in rows)
    assert len(rows) == 3 * 2 * 2 * 2 + 1


def test_tidy_rows_say_how_far_a_cell_got():
    rows = tidy_rows(
        [a_record(), a_failed_record(), a_record("half", stored=4), a_record("torn", stored=9, failed=1)]
    )
    found = {row["method"]: (row["status"], row["failed"], row["pairs"]) for row in rows}
    assert found == {
        "mine": ("ok", 0, 10),
        "broken": ("failed", 0, 0),
        "half": ("limited", 0, 4),
        "torn": ("partial", 1, 9),
    }
    (empty,) = (row for row in rows if row["method"] == "broken")
    assert (empty["pck"], empty["low"], empty["alpha"], empty["protocol"], empty["localizer"]) == (
        None,
        None,
        None,
        "",
        "",
    )
    assert {row["source"] for row in rows} == {"measured"}


def test_each_number_has_one_row():
    rows = tidy_rows([a_record(protocols=("sd4match", "original"), localizers=("argmax", "soft-argmax"))])
    keys = [
        tuple(row[key] for key in ("localizer", "protocol", "averaging", "alpha", "slice")) for row in rows
    ]
    assert len(set(keys)) == len(keys) == 2 * 2 * 2 * 2 * 2


def cells_of_html(text):
    body = ElementTree.fromstring(text[text.index("<table") :])
    return [["".join(cell.itertext()).strip() for cell in row] for row in body.iter("tr")]


def cells_of_tex(text):
    lines = [line.strip() for line in text.splitlines() if line.rstrip().endswith("\\\\")]
    plain = {
        "$\\pm$": "±",
        "$\\ddagger$": "‡",
        "--": "–",
        "\\ensuremath{<}": "<",
        "\\ensuremath{>}": ">",
        "\\%": "%",
        "\\_": "_",
        "\\#": "#",
    }
    for escaped, character in plain.items():
        lines = [line.replace(escaped, character) for line in lines]
    return [
        [cell.strip().replace("\\&", "&") for cell in re.split(r"(?<!\\)&", line.removesuffix("\\\\"))]
        for line in lines
    ]


RECORDS = [
    a_record("first", 81.25, localizers=("argmax", "soft-argmax")),
    a_record("second", 33.349),
    a_record("lonely", 12.5, pairs=1, stored=1),
    a_record("half", 99.0, stored=4),
    a_failed_record(),
]


def test_markdown_html_and_latex_have_the_same_cells():
    table = table_of(leaderboard, RECORDS)
    wanted = [list(table.header), *map(list, table.rows)]
    markdown = cells_of_markdown(table.render("md"))
    assert [markdown[0], *markdown[2:]] == wanted
    assert cells_of_html(table.render("html")) == wanted
    assert cells_of_tex(table.render("tex")) == wanted


def test_csv_and_json_have_the_same_rows():
    table = table_of(leaderboard, RECORDS)
    from_json = json.loads(table.render("json"))
    from_csv = list(csv.DictReader(io.StringIO(table.render("csv"))))
    assert list(from_csv[0]) == list(from_json[0]) == list(PROMISED)
    assert len(from_csv) == len(from_json) == len(tidy_rows(RECORDS))
    numbers = {
        "alpha": float,
        "pck": float,
        "low": float,
        "high": float,
        "pairs": int,
        "keypoints": int,
        "failed": int,
        "seed": int,
        "images": int,
    }
    for a, b in zip(from_csv, from_json, strict=True):
        for key in PROMISED:
            wanted = "" if b[key] is None else b[key]
            assert (numbers[key](a[key]) if a[key] and key in numbers else a[key]) == wanted


def test_printed_numbers_are_those_of_the_tidy_rows():
    table = table_of(leaderboard, RECORDS)
    tidy_rows = json.loads(table.render("json"))
    for row in (dict(zip(table.header, row, strict=True)) for row in table.rows):
        for alpha in (0.05, 0.1):
            same = [
                one
                for one in tidy_rows
                if (one["method"], one["localizer"], one["alpha"], one["slice"], one["averaging"])
                == (row["method"], row["localizer"], alpha, "all", "image")
            ]
            text = row[f"birds @{alpha:.2f}"]
            if not same:
                assert (row["method"], text) == ("broken", "–")
                continue
            value, _, half = text.replace(" –", "").partition(" ±")
            assert float(value) == pytest.approx(same[0]["pck"], abs=0.0501)
            if same[0]["low"] is None:
                assert not half
            else:
                assert float(half) == pytest.approx((same[0]["high"] - same[0]["low"]) / 2, abs=0.0501)


def test_latex_and_html_escape_what_means_something_there():
    table = table_of(leaderboard, [a_record("a_b&<c>", prompt="50%")])
    tex, html = table.render("tex"), table.render("html")
    assert r"a\_b\&" in tex
    assert "50\\%" in tex
    assert "<c>" not in html
    assert "a_b&amp;&lt;c&gt;" in html
    assert tex.count("\\begin{tabular}") == tex.count("\\end{tabular}") == 1


def test_a_bar_in_a_name_or_a_message_does_not_make_a_column():
    failed = a_failed_record().model_copy(
        update={"error": Error(type="E", message="either|or", traceback="")}
    )
    lines = table_of(leaderboard, [a_record("a|b"), failed]).render("md").splitlines()
    columns = {len(re.findall(r"(?<!\\)\|", line)) for line in lines if line.startswith("|")}
    assert columns == {9}
    assert "a\\|b" in lines[4]
    assert "either\\|or" in lines[5]


def test_rows_are_ranked_by_the_headline_alpha():
    rows = rows_of([a_record("low", 20.0), a_record("high", 60.0), a_record("middle", 40.0)])
    assert [(row["#"], row["method"]) for row in rows] == [("1", "high"), ("2", "middle"), ("3", "low")]


def test_a_caption_says_what_places_are_by():
    records = [
        a_record(name, pck, dataset=data)
        for name, pck in (("a", 50.0), ("b", 40.0))
        for data in ("birds", "cars")
    ]
    number = "Places are by the value of the mean of PCK at alpha 0.10 alone, not tested."
    assert number in table_of(leaderboard, records).caption


@pytest.mark.parametrize("has_whole_row", [True, False])
def test_a_caption_says_why_no_row_has_a_place(has_whole_row):
    records = [a_record("half", 99.0, stored=4), a_failed_record()]
    if has_whole_row:
        records.append(a_record("whole", 10.0))
    reason = "No places: every row has a note, which says why it is not ranked."
    assert (reason in table_of(leaderboard, records).caption) != has_whole_row


def test_limited_failed_and_foreign_rows_are_marked_and_not_ranked():
    rows = rows_of(
        [
            a_record("whole", 10.0),
            a_record("half", 99.0, stored=4),
            a_record("torn", 98.0, stored=9, failed=1),
            a_failed_record(),
            a_record("foreign", 97.0, protocols=("original",)),
        ]
    )
    marks = {row["method"]: (row["#"], row["note"]) for row in rows}
    assert marks == {
        "whole": ("1", ""),
        "half": ("", "birds: limited to 4 of 10 pairs"),
        "torn": ("", "birds: 1 pair failed"),
        "broken": ("", "birds: failed: no & <such> 5_% thing"),
        "foreign": ("", "protocol original"),
    }
    assert [row["method"] for row in rows] == ["whole", "foreign", "half", "torn", "broken"]
    assert all(row["birds @0.10"] == "–" for row in rows if row["method"] == "broken")


def test_a_caption_says_where_the_pairs_of_a_torn_row_have_gone():
    records = [a_record("whole", 10.0), a_record("torn", 98.0, stored=9, failed=1)]
    caption = table_of(leaderboard, records).caption
    assert "Pairs of torn, argmax, on birds: 10 planned = 9 scored + 1 failed + 0 excluded." in caption
    assert "Pairs of whole" not in caption


def test_a_method_alone_with_every_dataset_has_no_place():
    records = [
        a_record("both", 10.0),
        a_record("both", 15.0, dataset="cars"),
        a_record("a", 30.0),
        a_record("b", 70.0),
        a_record("c", 60.0, dataset="cars"),
    ]
    rows = rows_of(records, has_details=True)
    # Rows that share a dataset stand together, the best above; nothing is marked.
    assert [(row["#"], row["method"], row["note"]) for row in rows] == [
        ("", "b", "no cars"),
        ("", "a", "no cars"),
        ("", "both", ""),
        ("", "c", "no birds"),
    ]
    table = table_of(leaderboard, records, has_details=True)
    assert "No places: rows lack columns, as their notes say" in table.caption
    assert "Places are" not in table.caption
    assert not table.marks
    # `bench run` prints the table without details.
    assert "No places: " in table_of(leaderboard, records).caption


def test_a_method_with_two_localizers_is_still_alone():
    names = ("argmax", "kernel-softmax")
    records = [a_record("both", 10.0, dataset=name, localizers=names) for name in ("birds", "cars")]
    assert {row["#"] for row in rows_of(records)} == {"1", "2"}
    assert {row["#"] for row in rows_of([*records, a_record("better", 80.0)])} == {""}


def test_two_methods_with_every_dataset_have_places_and_the_caption_says_who_has_none():
    records = [a_record(name, pck, dataset=data) for name, pck in (("a", 10), ("b", 20)) for data in "xy"]
    records.append(a_record("better", 80.0, dataset="y", alphas=(0.1,)))
    table = table_of(leaderboard, records, has_details=True)
    assert [(row[0], row[1], row[-1]) for row in table.rows] == [
        ("1", "b", ""),
        ("2", "a", ""),
        ("", "better", "no x, y @0.05"),
    ]
    assert "Rows without a place that lack columns may be better" in table.caption
    # The best of the rows with places, not 80.0.
    column = table.header.index("y @0.10")
    assert {row: mark for (row, number), mark in table.marks.items() if number == column} == {
        0: "best",
        1: "second",
    }


def test_a_dataset_that_only_limited_rows_have_is_no_column_that_rows_must_have():
    rows = rows_of(
        [a_record("a", 10.0), a_record("b", 20.0), a_record("half", 90.0, dataset="cars", stored=4)]
    )
    assert [(row["#"], row["method"], row["note"]) for row in rows] == [
        ("1", "b", ""),
        ("2", "a", ""),
        ("", "half", "cars: limited to 4 of 10 pairs; no birds"),
    ]


def test_two_cells_of_one_name_stay_apart():
    rows = rows_of(
        [a_record("twin", 10.0, identity="aaaaaaaaaaaa"), a_record("twin", 70.0, identity="bbbbbbbbbbbb")]
    )
    assert sorted((row["method"], row["birds @0.05"]) for row in rows) == [
        ("twin", "10.0 ±4.5"),
        ("twin (bbbbbb)", "70.0 ±4.5"),
    ]


def test_the_order_of_records_does_not_matter():
    for format in FORMATS:
        assert table_of(leaderboard, RECORDS).render(format) == table_of(leaderboard, RECORDS[::-1]).render(
            format
        )


def test_one_protocol_averaging_and_alpha_can_be_chosen():
    records = [a_record("mine", 50.0, protocols=("original", "sd4match"))]
    table = table_of(leaderboard, records, protocol="original", averaging="point", alphas=(0.1,))
    assert table.header == ("#", "method", "prompt", "localizer", "backbone", "birds @0.10", "note")
    assert table.rows[0][5] == "61.0 ±4.5"
    assert "protocol original" in table.caption
    assert "mean per point" in table.caption
    assert "sd4match in the frame each extractor was fed (768 x 768)" in table_of(
        leaderboard, records
    ).caption.replace("protocol ", "")


@pytest.mark.parametrize(
    ("protocol", "frames", "is_stretched"),
    [
        ("sd4match", {}, True),
        ("sd4match[threshold=image]", {}, True),
        ("original", {}, False),
        ("sd4match-like", {}, False),
        ("mine", {"mine": "stretched"}, True),
        ("sd4match-like", {"sd4match-like": "padded"}, False),
    ],
    ids=[
        "built in",
        "other threshold",
        "original pixels",
        "unknown",
        "a plugin's",
        "of a plugin's own frame",
    ],
)
def test_the_caption_names_the_frame_of_the_protocol(protocol, frames, is_stretched):
    """The record says it; one from before it did has it of the protocols that are built in."""
    record = a_record(protocols=(protocol,)).model_copy(update={"frames": frames})
    caption = table_of(leaderboard, [record], protocol=protocol).caption
    assert ("in the frame each extractor was fed (768 x 768)" in caption) == is_stretched


def test_a_protocol_that_no_record_has():
    with pytest.raises(
        UserError, match="no record has protocol 'padded'; they have sd4match; 'bench rescore' adds one"
    ):
        table_of(leaderboard, [a_record()], protocol="padded")


def test_the_protocol_of_most_records_is_the_tables():
    records = [
        a_record("a", protocols=("padded",)),
        a_record("b", protocols=("original",)),
        a_record("c", protocols=("original",)),
    ]
    assert "protocol original," in table_of(leaderboard, records).caption
    assert "protocol sd4match " in table_of(leaderboard, [*records, a_record("d")]).caption


def test_rows_of_one_dataset_that_lack_thresholds_are_told_how_to_get_places():
    records = [a_record("a", 10.0, alphas=(0.05, 0.1)), a_record("b", 20.0, alphas=(0.05,))]
    caption = table_of(leaderboard, records).caption
    assert "`bench leaderboard --alphas A` gives places at one threshold" in caption
    assert "--datasets" not in caption
    elsewhere = [a_record("a", 10.0), a_record("a", 10.0, dataset="cars"), a_record("b", 20.0)]
    assert "--datasets NAME` gives places on one dataset" in table_of(leaderboard, elsewhere).caption
