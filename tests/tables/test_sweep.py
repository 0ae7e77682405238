"""PCK against the timestep or another parameter: one row a value, one column a curve."""

from __future__ import annotations

import pytest
from support.made_up_records import a_record
from support.markdown import cells_of_markdown
from support.views import table_of, view_of

from harness.errors import UserError
from harness.tables.catalogue import page_tables
from harness.tables.sweep import sweep, timesteps


def at(step: int, pck: float, *, method: str = "dift", changed: str | None = None, **more):
    """A finished cell at a timestep; PCK at alpha 0.10 is ten more than at 0.05."""
    label = f"{method}[{changed if changed is not None else f'timestep={step}'}]".replace("[]", "")
    record = a_record(method, pck, identity=f"{method}{step}{more.get('prompt', '')}"[:12], **more)
    return record.model_copy(
        update={"cell": record.cell.model_copy(update={"label": label, "params": {"timestep": step}})}
    )


def rows(table) -> list[dict[str, str]]:
    return [dict(zip(table.header, row, strict=True)) for row in table.rows]


def test_rows_are_timesteps_in_order():
    table = table_of(timesteps, [at(261, 30.0), at(50, 20.0), at(50, 40.0, method="single")])
    assert table.header == ("timestep", "dift", "single", "note")
    assert rows(table) == [
        {"timestep": "50", "dift": "30.0 ±4.5", "single": "50.0 ±4.5", "note": ""},
        {"timestep": "261", "dift": "40.0 ±4.5", "single": "–", "note": ""},
    ]
    assert "Alpha 0.10" in table.caption


def test_what_else_was_changed_stays_in_the_head():
    changes = (
        "timestep=50",
        "ensemble=1,timestep=50",
        "timestep=50,prompt-file=a/best.safetensors",
        "ensemble=1,timestep=50,seed=2",
        "",
    )
    table = table_of(
        timesteps,
        [
            at(50, 20.0 + number, method=f"m{number}", changed=changed)
            for number, changed in enumerate(changes)
        ],
    )
    assert table.header[1:-1] == (
        "m0",
        "m1[ensemble=1]",
        "m2[prompt-file=a/best.safetensors]",
        "m3[ensemble=1,seed=2]",
        "m4",
    )


def test_curves_of_one_method_are_told_apart():
    table = table_of(
        timesteps,
        [at(50, 20.0, prompt="empty"), at(50, 30.0, prompt="category"), at(50, 40.0, method="single")],
    )
    assert table.header[1:-1] == ("dift empty", "dift category", "single")


def test_columns_of_several_localizers_say_which_and_one_is_in_the_caption():
    several = table_of(
        timesteps, [at(50, 20.0), at(50, 40.0, method="single", localizers=("kernel-softmax",))]
    )
    assert several.header[1:-1] == ("dift argmax", "single kernel-softmax")
    assert "localizer" not in several.caption.split("Alpha 0.10")[1]
    alike = table_of(timesteps, [at(50, 20.0), at(50, 40.0, method="single")])
    assert alike.header[1:-1] == ("dift", "single")
    assert "; localizer argmax; " in alike.caption


def test_two_datasets_have_columns_each():
    table = table_of(timesteps, [at(50, 20.0), at(50, 30.0, dataset="cars")])
    assert table.header[1:-1] == ("dift birds", "dift cars")
    assert table.rows[0][1:3] == ("30.0 ±4.5", "40.0 ±4.5")


def test_limited_cells_are_marked():
    (row,) = rows(table_of(timesteps, [at(50, 20.0, stored=3)]))
    assert row["note"] == "dift: birds: limited to 3 of 10 pairs"
    # Once for all columns that have it.
    both = [at(step, 20.0, method=name, stored=3) for step in (50, 261) for name in ("dift", "single")]
    row, other = rows(table_of(timesteps, both[:3]))
    assert row["note"] == "birds: limited to 3 of 10 pairs"
    assert other["note"] == "dift: birds: limited to 3 of 10 pairs"


def test_a_cell_without_numbers_leaves_its_reason():
    failed = at(50, 20.0).model_copy(
        update={"status": "not-applicable", "reason": "no such level", "scores": [], "localizers": {}}
    )
    (row, other) = rows(table_of(timesteps, [failed, at(261, 20.0)]))
    assert (row["dift"], row["note"]) == ("–", "dift: not-applicable: no such level")
    assert other["note"] == ""


def test_a_value_without_a_localizer_to_show_has_no_row():
    records = [at(50, 20.0, localizers=("argmax", "bilinear")), at(261, 20.0)]
    table = table_of(timesteps, records, localizers=["bilinear"])
    assert [row["timestep"] for row in rows(table)] == ["50"]


def test_on_the_command_line(bench, tmp_path):
    out = tmp_path / "r"
    done = bench(
        "run",
        "--methods",
        "dift",
        "--limit",
        2,
        "--batch-size",
        1,
        "--ensemble",
        1,
        "--timestep",
        "50,100",
        "--out",
        out,
    )
    assert done.status == 0, done.err
    table = bench("leaderboard", out, "--table", "timesteps")
    assert table.out in done.out
    assert [line.split("|")[1].strip() for line in table.out.splitlines() if line.startswith("| ")] == [
        "timestep",
        "50",
        "100",
    ]


def test_without_a_timestep_it_is_told(bench, tmp_path):
    out = tmp_path / "r"
    assert bench("run", "--methods", "position", "--limit", 2, "--out", out).status == 0
    done = bench("leaderboard", out, "--table", "timesteps")
    assert done.status == 2 and "no cell has a timestep" in done.complaint


def with_params(pck: float, *, method: str = "dift", label: str = "", **params):
    """A finished cell with these parameters."""
    record = a_record(method, pck, identity=f"{method}{params}"[:40])
    changes = {"label": label or method, "params": params}
    return record.model_copy(update={"cell": record.cell.model_copy(update=changes)})


def test_any_parameter_can_be_swept():
    records = [
        with_params(20.0, label="dift[level=up-2]", level="up-2", ensemble=1),
        with_params(40.0, label="dift[level=up-1]", level="up-1", ensemble=1),
    ]
    table = table_of(sweep, records, parameter="level")
    assert table.header == ("level", "dift", "note")
    assert [row[:2] for row in table.rows] == [("up-1", "50.0 ±4.5"), ("up-2", "30.0 ±4.5")]
    assert table.caption.endswith("a row for each level.")
    # The one that has several values need not be named.
    assert table_of(sweep, records) == table


def test_values_are_in_order_of_size():
    records = [with_params(20.0, label=f"dift[stride={value}]", stride=value) for value in (10, 9, 0.5, None)]
    assert [row[0] for row in table_of(sweep, records).rows] == ["0.5", "9", "10", "none"]


def test_the_parameter_must_be_named_where_several_were_swept():
    records = [with_params(20.0 + 10 * a + b, a=a, b=b) for a in (0, 1) for b in (0, 1)]
    with pytest.raises(UserError, match="name a parameter with --by; those with several values are: a, b"):
        table_of(sweep, records)
    with pytest.raises(UserError, match="no cell has a parameter 'c'; they have a, b"):
        table_of(sweep, records, parameter="c")


def test_a_page_has_a_table_for_each_parameter_with_several_values():
    records = [
        with_params(
            20.0, label=f"dift[stride={stride},timestep={step}]", stride=stride, timestep=step, size=3
        )
        for stride, step in ((1, 50), (2, 50), (1, 100))
    ]
    entries = page_tables(records, view_of(records))
    assert [(key, title) for key, title, _ in entries] == [
        ("leaderboard", "Leaderboard"),
        ("timesteps", "Timesteps"),
        ("sweep1", "Sweep of stride"),
    ]


def test_run_and_leaderboard_print_the_sweep_of_a_parameter(bench, tmp_path):
    out = tmp_path / "r"
    done = bench(
        *("run", "--methods", "dift", "--limit", 2, "--batch-size", 1, "--ensemble", "1,2", "--out", out)
    )
    assert done.status == 0, done.err
    table = bench("leaderboard", out, "--table", "sweep", "--by", "ensemble")
    assert table.out in done.out
    assert [row[0] for row in cells_of_markdown(table.out)[2:]] == ["1", "2"]


def test_only_a_sweep_has_a_parameter(bench, tmp_path):
    done = bench("leaderboard", tmp_path, "--by", "ensemble")
    assert done.status == 2
    assert "--table overall has no rows by a parameter" in done.complaint
