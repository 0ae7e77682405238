"""Tables in the shape of the paper's: by category, by training data; what is bold; LaTeX that compiles."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
from support.made_up_records import a_failed_record, a_record
from support.views import table_of

from harness.records.schema import Provenance, Score, Stage
from harness.tables.categories import per_category
from harness.tables.columns import Column
from harness.tables.generalisation import generalisation
from harness.tables.leaderboard import leaderboard
from harness.tables.marks import mark_best
from harness.tables.paper_files import read_reported
from harness.tables.prompt_types import prompt_types
from harness.tables.row import Places, Row, RowDifference
from harness.tables.table import Table, render_tables
from harness.tables.text import difference_text


def rows_of(table):
    return [dict(zip(table.header, row, strict=True)) for row in table.rows]


def of(method, pck, *, supervision="Z", trained_on=None, tuned_on=None, params=None, **more):
    """A finished cell; PCK at alpha 0.10 is ten more than at 0.05, per point one more than per image."""
    record = a_record(method, pck, identity=method.ljust(12, "0")[:12], **more)
    changed = {"supervision": supervision, "trained_on": trained_on, "params": params or {}}
    changed["tuned_on"] = tuned_on
    return record.model_copy(update={"cell": record.cell.model_copy(update=changed)})


def score(column, pck):
    return Score(
        localizer="argmax",
        protocol="sd4match",
        averaging="image",
        alpha=column.alpha,
        slice=column.slice,
        pck=pck,
        low=pck - 1,
        high=pck + 1,
        pairs=9,
        keypoints=90,
    )


COLUMNS = [Column("birds", "test", 0.05), Column("birds", "test", 0.1)]


def line(method, *numbers, supervision="Z", notes=(), reported=False):
    values = {
        column: score(column, number)
        for column, number in zip(COLUMNS, numbers, strict=True)
        if number is not None
    }
    return Row(
        method, "none", "argmax", "none", supervision, values=values, notes=notes, is_reported=reported
    )


def test_best_and_second_are_marked_per_column_within_a_supervision_group():
    lines = [
        line("a", 30.0, 50.0),
        line("b", 20.0, 60.0),
        line("c", 10.0, 10.0),
        line("d", 90.0, 90.0, supervision="K"),
    ]
    assert mark_best(lines, COLUMNS, 3) == {
        (0, 3): "best",
        (1, 3): "second",
        (1, 4): "best",
        (0, 4): "second",
    }


def test_numbers_that_read_alike_are_marked_alike():
    assert mark_best([line("a", 30.04, 1), line("b", 29.96, 2), line("c", 20, 3)], COLUMNS[:1], 0) == {
        (0, 0): "best",
        (1, 0): "best",
    }
    assert mark_best([line("a", 30, 1), line("b", 20.04, 2), line("c", 19.96, 3)], COLUMNS[:1], 0) == {
        (0, 0): "best",
        (1, 0): "second",
        (2, 0): "second",
    }


def test_rows_that_cannot_be_compared_take_no_part():
    lines = [
        line("a", 30, 50),
        line("limited", 99, 99, notes=("limited",)),
        line("b", 20, None),
        line("paper", 80, 80, reported=True),
    ]
    assert mark_best(lines, COLUMNS, 0) == {(0, 0): "best", (2, 0): "second"}
    assert mark_best(lines, COLUMNS, 0, is_mixed=True) == {
        (3, 0): "best",
        (0, 0): "second",
        (3, 1): "best",
        (0, 1): "second",
    }


@pytest.mark.parametrize(("points", "text"), [(1.24, "+1.2"), (-2.2, "−2.2"), (0.04, "0.0"), (-0.04, "0.0")])
def test_differences_have_a_sign_unless_they_read_as_zero(points, text):
    assert difference_text(points) == text


def test_marks_in_each_format():
    table = Table(
        "",
        ("m", "x", "note"),
        (("a", "50.0 ±1.0", ""), ("b", "40.0 ±1.0", "")),
        names=1,
        marks={(0, 1): "best", (1, 1): "second"},
    )
    assert " **50.0** ±1.0 |" in table.render("md")
    assert "<ins>40.0</ins> ±1.0" in table.render("md")
    assert "\\textbf{50.0} $\\pm$1.0" in table.render("tex")
    assert "\\underline{40.0} $\\pm$1.0" in table.render("tex")
    assert "<strong>50.0</strong> ±1.0" in table.render("html")
    assert "<u>40.0</u> ±1.0" in table.render("html")


def test_the_columns_that_say_whether_to_trust_a_row():
    provenance = Provenance(
        versions={},
        commit=None,
        dirty=None,
        plugins={},
        weights={},
        manifest="0" * 64,
        hardware={"processor": "abacus"},
        precision="fp32",
        device="cpu",
        batch_size=1,
        started="",
        computed_pairs=4,
        stages={
            name: Stage(seconds=seconds, peak_memory_bytes=1)
            for name, seconds in (("load", 100), ("extract", 2), ("locate", 1))
        },
        gpu_peak_memory_bytes=None,
    )
    record = of(
        "mine",
        50.0,
        supervision="K",
        trained_on="spair-71k",
        tuned_on=("pf-pascal/val",),
        params={"timestep": 50, "ensemble": 8, "level": "up"},
    )
    table = table_of(
        leaderboard,
        [record.model_copy(update={"provenance": provenance}), of("other", 40.0)],
        has_details=True,
    )
    first, second = rows_of(table)
    titles = ("sup.", "t", "ensemble", "trained on", "tuned on", "pairs", "s/pair")
    assert [first[title] for title in titles] == ["K", "50", "8", "spair-71k", "pf-pascal/val", "10", "0.750"]
    assert [second[title] for title in titles] == ["Z", "–", "–", "–", "–", "10", "–"]
    assert "on abacus" in table.caption


def test_pairs_of_several_datasets_stand_in_their_order():
    table = table_of(
        leaderboard,
        [of("a", 50.0, dataset="fish", pairs=7, stored=7), of("a", 40.0, dataset="birds")],
        has_details=True,
    )
    assert rows_of(table)[0]["pairs"] == "10 / 7"


def test_places_have_intervals():
    records = [of("a", 50.0), of("b", 49.0), of("c", 20.0)]
    differences = [
        RowDifference(0, 1, 1.0, -2.0, 4.0, 4.0),
        RowDifference(0, 2, 30.0, 20.0, 40.0, 10.0),
        RowDifference(1, 2, 29.0, 20.0, 38.0, 9.0),
    ]
    places = Places([1, 1, 3], [2, 2, 3], frozenset(), differences, 600, 298)
    table = table_of(leaderboard, records, has_details=True, find_places=lambda lines, columns: places)
    assert [row["#"] for row in rows_of(table)] == ["1-2", "1-2", "3"]
    places_text = (
        "Places are by PCK at alpha 0.10, as 95 % intervals that hold for all rows together (bootstrap over "
        "images, 600 pairs of 298 images): a row at 1-2 may be the best, and has at most 1 row above it. "
        "Four of five such comparisons find a true difference of 9.0 points (4.0 to 10.0, by the rows)."
    )
    assert places_text in table.caption
    # `bench run` prints the table without details, and its reader asks by which alpha rows are in order, too.
    assert places_text in table_of(leaderboard, records, find_places=lambda lines, columns: places).caption
    for nothing_tested in (None, lambda lines, columns: None):
        untested = table_of(leaderboard, records, find_places=nothing_tested)
        assert [row["#"] for row in rows_of(untested)] == ["1", "2", "3"]
        assert "Places are by the value of PCK at alpha 0.10 alone, not tested." in untested.caption


@pytest.mark.parametrize(
    ("images", "reason"),
    [
        (9, "it takes 10 images at least"),
        (10, "two rows differ by the same on all pairs, which tells nothing of others"),
    ],
)
def test_rows_that_nothing_tells_apart_share_their_places_for_a_reason(images, reason):
    places = Places([1, 1], [2, 2], frozenset(), [RowDifference(0, 1, 30.0, None, None, None)], 20, images)
    table = table_of(leaderboard, [of("a", 50.0), of("b", 20.0)], find_places=lambda lines, columns: places)
    assert (
        "Rows are in order of PCK at alpha 0.10 and share their places: "
        f"20 pairs of {images} images cannot tell them apart ({reason})."
    ) in table.caption


def test_a_caption_says_once_what_intervals_and_places_are_drawn_from():
    records = [of("a", 50.0), of("b", 20.0)]
    differences = [RowDifference(0, 1, 30.0, 20.0, 40.0, 10.0)]

    def caption(pairs: int, images: int) -> str:
        places = Places([1, 2], [1, 2], frozenset(), differences, pairs, images)
        return table_of(leaderboard, records, find_places=lambda lines, columns: places).caption

    score = records[0].scores[0]
    assert caption(score.pairs, score.images).count("bootstrap over images") == 1
    assert "bootstrap over images, 5 pairs of 10 images): every row is told apart" in caption(5, 10)


RECORDS = [
    of("zero-b", 40.0),
    of("tuned", 70.0, supervision="K", trained_on="birds"),
    of("zero-a", 50.0),
    of("half", 99.0, stored=4),
    of("weak", 60.0, supervision="I"),
    a_failed_record("broken"),
]


def test_categories_are_columns_and_rows_are_grouped_by_supervision():
    (table,) = table_of(per_category, RECORDS)
    assert table.header == (
        "sup.",
        "method",
        "prompt",
        "localizer",
        "backbone",
        "trained on",
        "tuned on",
        "robin",
        "all",
        "note",
    )
    assert [(row["sup."], row["method"]) for row in rows_of(table)] == [
        *(("Z", "zero-a"), ("Z", "zero-b"), ("Z", "half"), ("Z", "broken")),
        *(("I", "weak"), ("K", "tuned")),
    ]
    first = rows_of(table)[0]
    assert (first["robin"], first["all"]) == ("60.0", "60.0 ±4.5")
    assert table.breaks == {4, 5}
    assert table.marks == {(0, 7): "best", (1, 7): "second", (0, 8): "best", (1, 8): "second"}
    assert "Alpha 0.10; birds" in table.caption
    assert "Pairs: robin 10, all 10." in table.caption


def test_each_dataset_has_a_table_of_its_own():
    tables = table_of(per_category, [of("a", 50.0), of("a", 40.0, dataset="fish")], alphas=[0.05])
    assert [rows_of(table)[0]["all"] for table in tables] == ["50.0 ±4.5", "40.0 ±4.5"]
    assert render_tables(tables, "md").count("a column a category") == 2
    assert render_tables(tables, "csv").count("method,prompt") == 1


def test_a_foreign_protocol_is_marked_and_not_compared():
    (table,) = table_of(
        per_category, [of("a", 50.0), of("b", 90.0, protocols=("original",))], protocol="sd4match"
    )
    assert rows_of(table)[1]["note"] == "protocol original"
    assert not table.marks


def test_datasets_are_columns_and_training_at_home_is_marked():
    records = [
        of("tuned", 70.0, supervision="K", trained_on="birds"),
        of("tuned", 50.0, supervision="K", trained_on="birds", dataset="fish"),
        of("zero", 60.0),
        of("zero", 55.0, dataset="fish"),
    ]
    table = table_of(generalisation, records, alphas=[0.1])
    assert table.header[7:] == ("birds @0.10", "fish @0.10", "pairs", "note")
    zero, tuned = rows_of(table)
    assert (zero["birds @0.10"], zero["fish @0.10"], zero["trained on"]) == ("70.0 ±4.5", "65.0 ±4.5", "–")
    assert (tuned["birds @0.10"], tuned["fish @0.10"], tuned["trained on"]) == (
        "80.0 ±4.5 †",
        "60.0 ±4.5",
        "birds",
    )
    assert "†: trained on this dataset." in table.caption


def test_a_dash_is_of_no_training():
    table = table_of(
        generalisation,
        [of("tuned", 50.0, trained_on="birds", dataset="fish"), of("zero", 60.0)],
        alphas=[0.1],
    )
    assert rows_of(table)[1]["birds @0.10"] == "–"


def test_one_method_of_two_trainings_is_two_rows():
    records = [of("m[trained-on=a]", 10.0, trained_on="a"), of("m[trained-on=b]", 20.0, trained_on="b")]
    assert [row["trained on"] for row in rows_of(table_of(generalisation, records))] == ["a", "b"]


def all_tables():
    reported = read_reported()
    odd = of("a_b&c#d%e$f{g}~h^i\\j <k>", 30.0)
    records = [*RECORDS, odd]
    return [
        table_of(leaderboard, records, has_details=True, reported=reported),
        table_of(leaderboard, records, alphas=[0.1]),
        *table_of(per_category, records, reported=reported),
        table_of(generalisation, records, reported=reported),
        table_of(prompt_types, records, reported=reported),
    ]


def test_latex_is_of_ascii_and_balanced():
    for table in all_tables():
        text = table.render("tex")
        assert text.isascii(), [character for character in text if not character.isascii()]
        assert text.count("{") - text.count("\\{") == text.count("}") - text.count("\\}")
        assert len(re.findall(r"\\(begin|end)\{tabular\}", text)) == 2


def test_latex_has_a_rule_between_groups():
    (table,) = table_of(per_category, RECORDS)
    lines = table.render("tex").splitlines()
    rules = [number for number, text in enumerate(lines) if text == "\\midrule"]
    assert len(rules) == 3  # below the header, above I and above K
    assert "weak" in lines[rules[1] + 1]
    assert "tuned" in lines[rules[2] + 1]


def test_latex_has_a_column_of_notes_only_where_there_are_some():
    assert "note" in table_of(
        leaderboard, [of("a", 50.0), of("half", 99.0, stored=4)], has_details=True
    ).render("tex")
    assert "note" not in table_of(leaderboard, [of("a", 50.0)], has_details=True).render("tex")


def test_latex_of_rows_without_a_place_has_no_rule_of_its_own_above_them():
    table = table_of(leaderboard, [of("half", 99.0, stored=4), of("part", 98.0, stored=4)], has_details=True)
    assert table.render("tex").count("\\midrule") == 1


@pytest.mark.skipif(
    not shutil.which("pdflatex"), reason="no pdflatex: apt-get install texlive-latex-recommended"
)
def test_latex_compiles(tmp_path):
    body = "\n".join(table.render("tex") for table in all_tables())
    preamble = "\\documentclass{article}\n\\usepackage{booktabs,graphicx}\n"
    document = f"{preamble}\\begin{{document}}\n{body}\n\\end{{document}}\n"
    (tmp_path / "tables.tex").write_text(document)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "tables.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    # Wide tables are as wide as the page.
    assert "Overfull" not in done.stdout
