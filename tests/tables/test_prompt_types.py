"""The table of prompt types: one row a method, one column a prompt, at one threshold."""

from __future__ import annotations

from support.made_up_records import a_record
from support.views import table_of

from harness.tables.prompt_types import prompt_types


def cells(table) -> list[dict[str, str]]:
    return [dict(zip(table.header, row, strict=True)) for row in table.rows]


def of(method, prompt, pck, **more):
    """A finished cell of a prompt; PCK at alpha 0.10 is ten more than at 0.05."""
    return a_record(method, pck, prompt=prompt, identity=f"{method}{prompt}"[:12], **more)


def not_applicable(method, prompt, reason):
    record = of(method, prompt, 0)
    return record.model_copy(
        update={"status": "not-applicable", "reason": reason, "scores": [], "localizers": {}, "counts": None}
    )


def test_prompts_are_columns_in_the_order_asked_for():
    table = table_of(
        prompt_types,
        [of("dift", "empty", 40.0), of("dift", "category", 42.9), of("sd", "empty", 30.0)],
        prompts=("category", "empty"),
    )
    assert table.header == ("method", "localizer", "backbone", "category", "empty", "note")
    assert [(row["method"], row["category"], row["empty"]) for row in cells(table)] == [
        ("dift", "52.9 ±4.5", "50.0 ±4.5"),
        ("sd", "–", "40.0 ±4.5"),
    ]
    assert "Alpha 0.10" in table.caption


def test_another_threshold():
    (row,) = cells(table_of(prompt_types, [of("dift", "empty", 40.0)], alphas=[0.05]))
    assert row["empty"] == "40.0 ±4.5"


def test_what_does_not_fit_is_a_dash_with_its_reason():
    (row,) = cells(
        table_of(
            prompt_types, [of("dift", "empty", 40.0), not_applicable("dift", "captioner", "of width 768")]
        )
    )
    assert (row["empty"], row["captioner"]) == ("50.0 ±4.5", "–")
    assert row["note"] == "captioner on birds: not-applicable: of width 768"


def test_a_method_without_prompts_has_a_column_of_its_own_at_the_end():
    table = table_of(prompt_types, [a_record("dinov2", 30.0), of("dift", "empty", 40.0)])
    assert table.header[3:] == ("empty", "none", "note")
    assert [(row["method"], row["empty"], row["none"]) for row in cells(table)] == [
        ("dinov2", "–", "40.0 ±4.5"),
        ("dift", "50.0 ±4.5", "–"),
    ]


def test_backbones_are_not_mixed():
    tiny, paper = of("dift", "empty", 40.0), of("dift", "category", 60.0)
    tiny, paper = (
        record.model_copy(
            update={"cell": record.cell.model_copy(update={"features": name, "backbone": name})}
        )
        for record, name in ((tiny, "tiny@1"), (paper, "sd@2"))
    )
    assert [
        (row["backbone"], row["empty"], row["category"])
        for row in cells(table_of(prompt_types, [tiny, paper]))
    ] == [
        ("tiny@1", "50.0 ±4.5", "–"),
        ("sd@2", "–", "70.0 ±4.5"),
    ]


def test_limited_cells_are_marked():
    (row,) = cells(table_of(prompt_types, [of("dift", "empty", 40.0, stored=3)]))
    assert row["note"] == "empty: birds: limited to 3 of 10 pairs"


def test_two_datasets_have_columns_each():
    table = table_of(prompt_types, [of("dift", "empty", 40.0), of("dift", "empty", 20.0, dataset="cars")])
    assert table.header[3:] == ("birds: empty", "cars: empty", "note")
    assert table.rows[0][3:5] == ("50.0 ±4.5", "30.0 ±4.5")


def test_on_the_command_line(bench, photos, tmp_path):
    out = tmp_path / "r"
    assert bench("run", "--methods", "hog", "--datasets", f"folder={photos}", "--out", out).status == 0
    done = bench("leaderboard", out, "--table", "prompt-types")
    assert done.status == 0
    assert "| none" in done.out
    assert bench("leaderboard", out, "--table", "prompt-types", "--alphas", "0.05,0.1").complaint.startswith(
        "bench: --table prompt-types"
    )
