"""One name in a table is one set of data, one version of the code, one precision, one localizer."""

from __future__ import annotations

import itertools
import json

import pytest
from support.made_up_records import a_record, a_timestep_record, with_options, with_provenance
from support.views import table_of

from harness.records.schema import EarlierRun
from harness.tables.categories import per_category
from harness.tables.generalisation import generalisation
from harness.tables.leaderboard import leaderboard
from harness.tables.names import make_names
from harness.tables.prompt_types import prompt_types
from harness.tables.sweep import sweep

OLD, NEW = "1" * 64, "2" * 64


def rows_of(records, make=leaderboard, **options):
    """Title -> text of each row, whatever the order of the records."""
    tables = [table_of(make, list(order), **options) for order in itertools.permutations(records)]
    assert len({table.render("json") for table in tables}) == 1
    if make is leaderboard:
        assert len({table.render("md") for table in tables}) == 1
    return [dict(zip(tables[0].header, row, strict=True)) for row in tables[0].rows]


def run(method="mine", pck=50.0, *, dataset="birds", identity="0123456789ab", **provenance):
    return with_provenance(a_record(method, pck, dataset=dataset, identity=identity), **provenance)


def with_official(record, number):
    return record.model_copy(update={"counts": record.counts.model_copy(update={"official": number})})


def test_two_methods_on_other_data_of_one_name_are_never_ranked_together():
    rows = rows_of([run("old", 90.0, manifest=OLD), run("new", 10.0, manifest=NEW, started="2026-02")])
    assert [(row["#"], row["method"]) for row in rows] == [("1", "new"), ("", "old")]
    assert rows[0]["birds (manifest 222222) @0.10"] == "20.0 ±4.5"
    assert rows[1]["birds (manifest 111111) @0.10"] == "100.0 ±2.0"
    assert rows[1]["birds (manifest 222222) @0.10"] == "–"
    assert rows[1]["note"] == "birds: other data than those that rows are ranked on"


def test_rows_are_ranked_on_the_data_of_most_rows():
    records = [
        run("a", 10.0, manifest=OLD),
        run("b", 20.0, manifest=OLD),
        run("c", 90.0, manifest=NEW, started="9"),
    ]
    rows = rows_of(records)
    assert [(row["#"], row["method"]) for row in rows] == [("1", "b"), ("2", "a"), ("", "c")]


def test_two_folders_of_one_name_are_two_datasets_for_methods_that_ran_on_both():
    records = [
        run(method, pck, manifest=manifest, identity=f"{method * 4}{manifest[0]}")
        for method, manifest, pck in (("a", OLD, 10), ("a", NEW, 80), ("b", OLD, 50), ("b", NEW, 20))
    ]
    rows = rows_of(records)
    assert [(row["#"], row["method"], row["note"]) for row in rows] == [("1", "a", ""), ("2", "b", "")]
    assert rows[0]["birds (manifest 111111) @0.05"] == "10.0 ±4.5"
    assert rows[0]["birds (manifest 222222) @0.05"] == "80.0 ±4.5"


def failing(record):
    """The record with one pair that failed."""
    localizers = {name: info.model_copy(update={"failed": 1}) for name, info in record.localizers.items()}
    return record.model_copy(update={"status": "partial", "localizers": localizers})


def test_mended_data_get_their_row_back():
    torn = failing(run(pck=90.0, manifest=OLD, identity="1" * 12))
    mended = run(pck=30.0, manifest=NEW, started="2026-02", identity="2" * 12)
    rows = rows_of([torn, mended])
    assert [(row["#"], row["birds (manifest 222222) @0.05"]) for row in rows] == [
        ("1", "30.0 ±4.5"),
        ("", "–"),
    ]
    assert rows[0]["birds (manifest 111111) @0.05"] == "–"
    assert rows[0]["note"] == ""
    assert "birds (manifest 111111): 1 pair failed" in rows[1]["note"]
    # Rows that nobody has run again do not keep the mended one out.
    others = [failing(run(name, 95.0, manifest=OLD, identity=name * 12)) for name in "ab"]
    rows = rows_of([torn, mended, *others])
    assert [(row["#"], row["method"]) for row in rows] == [("1", "mine"), ("", "a"), ("", "b"), ("", "mine")]


def test_places_are_by_the_newest_data_where_all_rows_have_several():
    records = [
        run(method, pck, manifest=manifest, identity=f"{method * 4}{manifest[0]}", started=started)
        for method, manifest, pck, started in (
            ("a", OLD, 90, "2026-01"),
            ("b", OLD, 10, "2026-01"),
            ("a", NEW, 20, "2026-02"),
            ("b", NEW, 50, "2026-02"),
        )
    ]
    # As `bench run` ranks the new cells alone, and not by a mean over old and new pictures.
    assert [(row["#"], row["method"]) for row in rows_of(records)] == [("1", "b"), ("2", "a")]
    caption = table_of(leaderboard, records, has_details=True).caption
    assert "on birds (manifest 222222) alone, not tested." in caption


def test_data_of_the_published_size_keep_the_name():
    whole = [with_official(run("a", 30.0, manifest=OLD), 10)]
    cut = [with_official(run(name, 90.0, manifest=NEW, started="9"), 12_234) for name in ("b", "c")]
    rows = rows_of([*whole, *cut])
    assert [(row["#"], row["method"], row["birds @0.05"]) for row in rows] == [
        ("1", "a", "30.0 ±4.5"),
        ("", "b", "–"),
        ("", "c", "–"),
    ]
    assert "not whole: 10 pairs instead of the official 12,234" in rows[1]["note"]


def test_data_that_are_not_whole_are_not_ranked_even_alone():
    (row,) = rows_of([with_official(run(), 12_234)])
    assert (row["#"], row["note"]) == ("", "birds: not whole: 10 pairs instead of the official 12,234")
    tidy = json.loads(table_of(leaderboard, [with_official(run(), 12_234)]).render("json"))
    assert {line["status"] for line in tidy} == {"limited"}


def test_manifests_that_begin_alike_have_more_digits():
    names = make_names([run("a", manifest="1234567" + OLD), run("b", manifest="1234568" + OLD)])
    assert {record.cell.dataset for record in names.renamed.values()} == {
        "birds (manifest 1234567)",
        "birds (manifest 1234568)",
    }


@pytest.mark.parametrize("make", [leaderboard, generalisation, per_category, prompt_types])
def test_every_table_and_format_tells_data_apart(make):
    records = [run("old", 90.0, manifest=OLD), run("new", 10.0, manifest=NEW, started="2026-02")]
    tables = table_of(make, records)
    for table in tables if isinstance(tables, list) else [tables]:
        assert {row["dataset"] for row in table.tidy} <= {
            "birds (manifest 111111)",
            "birds (manifest 222222)",
        }
        for format in ("md", "csv", "json", "tex", "html"):
            assert "manifest" in table.render(format)


def test_a_row_is_one_version_of_a_plugin():
    records = [
        run(pck=40.0, dataset="birds", extractor="mine (code 1)", started="2026-01"),
        run(pck=60.0, dataset="fish", extractor="mine (code 2)", started="2026-02"),
    ]
    rows = rows_of(records)
    # Birds, which the older version alone has, are no column that rows must have.
    assert [row["#"] for row in rows] == ["1", ""]
    assert [row["method"].partition(" (")[0] for row in rows] == ["mine", "mine"]
    assert rows[0]["fish @0.10"] == "70.0 ±4.5"
    assert rows[0]["birds @0.10"] == "–"
    assert rows[1]["method"].startswith("mine (older version ")
    assert rows[1]["note"] == "birds: older version, other plugin code than mine; no fish"
    # After the rerun the new version is whole, and the old one stays marked.
    rerun = run(pck=50.0, extractor="mine (code 2)", started="2026-03", identity="c" * 12)
    rows = rows_of([*records, rerun])
    assert [(row["#"], row["method"][:11]) for row in rows] == [("1", "mine"), ("", "mine (older")]


@pytest.mark.parametrize("aspect", ["prompt", "localizer_argmax"])
def test_prompt_and_localizer_code_count_as_well(aspect):
    rows = rows_of(
        [
            run(dataset="birds", started="2026-01", **{aspect: "1"}),
            run(dataset="fish", started="2026-02", **{aspect: "2"}),
        ]
    )
    assert len(rows) == 2
    assert [row["#"] for row in rows] == ["1", ""]
    (older,) = (row for row in rows if "older version" in row["note"])
    assert "older version" in older["method"] + older["localizer"]
    assert older["#"] == ""
    assert older["birds @0.10"] != "–"


def test_precisions_are_in_the_label_where_a_folder_has_several():
    records = [run(dataset="birds"), run(dataset="fish", precision="bf16"), run("other", dataset="birds")]
    assert [row["method"] for row in rows_of(records)] == [
        "mine[precision=fp32]",
        "other[precision=fp32]",
        "mine[precision=bf16]",
    ]
    assert {row["#"] for row in rows_of(records)} == {""}
    assert rows_of([run(precision="bf16")])[0]["method"] == "mine"
    both = [run(pck=10.0), run(pck=20.0, precision="bf16", identity="b" * 12)]
    assert [(row["#"], row["method"]) for row in rows_of(both)] == [
        ("1", "mine[precision=bf16]"),
        ("2", "mine[precision=fp32]"),
    ]


def test_a_sweep_keeps_precisions_apart():
    records = [
        with_provenance(a_timestep_record("mine", 0, 30.0), precision="fp32"),
        with_provenance(a_timestep_record("mine", 50, 40.0), precision="bf16"),
    ]
    rows = rows_of(records, sweep)
    assert sorted(set(rows[0]) - {"timestep", "note"}) == ["mine[precision=bf16]", "mine[precision=fp32]"]
    assert sorted(rows[0].values()) == ["", "0", "40.0 ±4.5", "–"]


def test_localizers_with_other_options_show_them():
    records = [
        with_options(a_record("dift"), sigma=7.0, relative_to=None),
        with_options(a_record("tuned"), sigma=7.0, relative_to=48),
    ]
    rows = rows_of(records)
    assert {row["method"]: row["localizer"] for row in rows} == {
        "dift": "argmax[relative_to=none]",
        "tuned": "argmax[relative_to=48]",
    }
    tidy = json.loads(table_of(leaderboard, records).render("json"))
    assert {row["localizer"] for row in tidy} == {"argmax[relative_to=none]", "argmax[relative_to=48]"}
    assert {row["localizer"] for row in rows_of(records[:1])} == {"argmax"}
    assert len(rows_of(records, localizers=["argmax"])) == 2


def test_one_method_with_other_options_on_two_datasets_is_two_rows():
    rows = rows_of([with_options(a_record(), sigma=7), with_options(a_record(dataset="fish"), sigma=9)])
    assert [row["localizer"] for row in rows] == ["argmax[sigma=7]", "argmax[sigma=9]"]
    assert {row["#"] for row in rows} == {""}


def test_an_option_that_older_records_lack_sets_them_apart():
    rows = rows_of([with_options(a_record("a")), with_options(a_record("b"), window=7)])
    assert [row["localizer"] for row in rows] == ["argmax", "argmax[window=7]"]


def test_a_copy_of_a_cell_changes_nothing():
    records = [run("a", 20.0), run("b", 30.0)]
    assert rows_of([*records, records[0]]) == rows_of(records)


def test_predictions_of_several_environments_are_told():
    record = run()
    earlier = EarlierRun(
        started="2025",
        computed_pairs=1,
        versions={},
        commit=None,
        dirty=None,
        hardware={"gpu": "another"},
        device="cuda",
        batch_size=8,
    )
    provenance = record.provenance.model_copy(update={"earlier_runs": [earlier]})
    (row,) = rows_of([record.model_copy(update={"provenance": provenance})])
    assert (row["#"], row["note"]) == ("1", "birds: predictions made in several environments")


def test_an_older_version_without_such_a_measure_is_not_ranked():
    records = [
        run(pck=40.0, extractor="1", started="2026-01"),
        run(pck=60.0, extractor="2", started="2026-02", identity="c" * 12),
        run("other", 10.0),
    ]
    records = [each.model_copy(update={"not_applicable": {"padded": "no box"}}) for each in records]
    rows = rows_of(records, protocol="sd4match")
    assert sorted(row["#"] for row in rows) == ["", "1", "2"]


def test_data_at_home_are_marked_whatever_their_manifest():
    records = []
    for manifest in (OLD, NEW):
        record = run(manifest=manifest, identity=manifest[:12])
        cell = record.cell.model_copy(update={"trained_on": "fish+birds", "supervision": "K"})
        records.append(record.model_copy(update={"cell": cell}))
    (row,) = rows_of(records, generalisation)
    assert row["birds (manifest 111111) @0.05"] == row["birds (manifest 222222) @0.05"] == "50.0 ±4.5 †"
