"""Numbers that papers printed: read as printed, marked, ranked only on request, beside measured numbers."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import pytest
from support.made_up_records import a_record
from support.views import table_of

from harness.errors import UserError
from harness.plugins.loading import load_plugins
from harness.records.folders import write_record
from harness.tables.categories import per_category
from harness.tables.columns import Column
from harness.tables.generalisation import generalisation
from harness.tables.leaderboard import leaderboard
from harness.tables.paper_files import FOLDER, read_reported
from harness.tables.prompt_types import prompt_types
from harness.tables.table import TIDY_KEYS

REPORTED = read_reported()


def measured(
    method,
    pck,
    *,
    prompt="none",
    localizer="argmax",
    backbone="none",
    trained_on=None,
    supervision="Z",
    **more,
):
    """A finished cell on SPair-71k; PCK at alpha 0.10 is ten more than at 0.05."""
    record = a_record(
        method,
        pck,
        dataset="spair-71k",
        prompt=prompt,
        localizers=(localizer,),
        identity=method.ljust(12, "0")[:12],
        **more,
    )
    changed = {"backbone": backbone, "trained_on": trained_on, "supervision": supervision}
    return record.model_copy(update={"cell": record.cell.model_copy(update=changed)})


def rows_of(table):
    return [dict(zip(table.header, row, strict=True)) for row in table.rows]


DIFT = measured(
    "dift", 40.7, prompt="category", localizer="argmax-original", backbone="stable-diffusion-2-1@01234567"
)


def test_every_number_of_the_papers_tables_is_read_once():
    printed = {}
    for name in ("table1_prompt_types_spair71k_pck010", "table2_spair71k_pck010", "table3_generalisation"):
        with (FOLDER / f"{name}.csv").open() as file:
            for row in csv.DictReader(file):
                for title, text in row.items():
                    if title not in ("method", "supervision", "trained_on") and text:
                        printed[name, row["method"], row.get("trained_on", ""), title] = float(text)
    assert len(printed) == 5 + 16 * 19 + (15 * 8 - 5)
    found = {
        (one.name, one.prompt, one.trained_on, column): value
        for one in REPORTED.methods
        for column, value in one.values.items()
    }
    spair = Column("spair-71k", "test", 0.1)
    assert found["DIFT", "empty", "", spair] == 50.7
    assert found["SD+DINO*", "implicit-captioner", "", spair] == 52.4
    assert found["SD4Match-CPM", "sd4match-cpm", "spair-71k", spair] == 75.5
    assert found["SD4Match-CPM", "sd4match-cpm", "pf-pascal", spair] == 40.9
    assert found["NCNet", "none", "spair-71k", spair._replace(slice="category=cat")] == 39.2
    assert found["DINOv1", "none", "", spair._replace(slice="category=tvmonitor")] == 37.1
    assert found["TransforMatcher", "none", "pf-pascal", Column("pf-willow", "test", 0.1)] == 65.3
    # What two tables print of one method is one number.
    twice = (
        2 + 3 + 2
    )  # DIFT in Tables 1, 2 and 3; the other zero-shot methods, and Single and CPM, in Tables 2 and 3
    assert len(found) == len(printed) - twice


PAIRS = {
    **{"aeroplane": 690, "bicycle": 650, "bird": 702, "boat": 702, "bottle": 870, "bus": 644, "car": 564},
    **{"cat": 600, "chair": 646, "cow": 640, "dog": 600, "horse": 600, "motorbike": 702, "person": 650},
    **{"pottedplant": 862, "sheep": 664, "train": 756, "tvmonitor": 692},
}
"""Category -> test pairs of SPair-71k."""


def test_the_printed_numbers_over_all_pairs_are_means_per_image():
    """Each is the mean of its row with the pairs as weights; without them, most rows are off."""
    assert sum(PAIRS.values()) == 12_234
    assert {method.averaging for method in REPORTED.methods} == {"image"}
    whole = Column("spair-71k", "test", 0.1)
    of_pairs, of_categories = set(), set()
    for method in REPORTED.methods:
        numbers = {name: method.values.get(whole._replace(slice=f"category={name}")) for name in PAIRS}
        if None in numbers.values():
            continue
        mean = sum(numbers[name] * pairs for name, pairs in PAIRS.items()) / 12_234
        # Two roundings to one decimal.
        if abs(mean - method.values[whole]) <= 0.1:
            of_pairs.add(method.name)
        if abs(sum(numbers.values()) / len(numbers) - method.values[whole]) <= 0.1:
            of_categories.add(method.name)
    printed = {
        method.name for method in REPORTED.methods if whole._replace(slice="category=cat") in method.values
    }
    # These two rows are not the mean of their categories, whatever the weights.
    assert printed - of_pairs == {"TransforMatcher", "SCorrSAN"}
    assert of_categories == {"DINOv1", "DIFT", "CATs", "SemiMatch"}


def test_an_average_that_is_none_is_told(tmp_path):
    folder = shutil.copytree(FOLDER, tmp_path / "reported")
    index = folder / "index.json"
    index.write_text(index.read_text().replace('"averaging": "image"', '"averaging": "median"'))
    with pytest.raises(UserError, match="averaging 'median' is none of image, point, category-image"):
        read_reported(folder / "index.json")


@pytest.mark.parametrize("make", [leaderboard, prompt_types, generalisation])
def test_numbers_of_another_average_are_not_compared(make):
    """With the reported row's average said in its note, and no difference behind the measured number."""
    table = table_of(make, [DIFT], averaging="point", reported=REPORTED)
    rows = [row for row in rows_of(table) if row["method"].endswith("(reported)")]
    assert rows
    assert all("protocol sd4match, mean per image" in row["note"] for row in rows)
    assert "In brackets" not in table.caption
    assert "In brackets" in table_of(leaderboard, [DIFT], reported=REPORTED).caption


def test_each_is_one_tidy_row_marked_as_reported():
    rows = REPORTED.tidy_rows()
    keys = [
        tuple(row[key] for key in ("method", "prompt", "localizer", "dataset", "split", "alpha", "slice"))
        for row in rows
    ]
    assert len(set(keys)) == len(keys)
    assert all(tuple(row) == TIDY_KEYS for row in rows)
    assert {(row["source"], row["low"], row["pairs"]) for row in rows} == {("reported", None, None)}


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda folder: (folder / "table3_generalisation.csv").unlink(), "table3_generalisation.csv"),
        (lambda folder: (folder / "index.json").write_text("{"), "cannot be read"),
        (lambda folder: edit(folder / "table3_generalisation.csv", "DHPF", "DHPG"), "no entry 'DHPG'"),
        (lambda folder: edit(folder / "table3_generalisation.csv", "52.9", "53.9"), "two values for DIFT"),
        (lambda folder: edit(folder / "table2_spair71k_pck010.csv", "37.3,", "many,"), "many"),
    ],
)
def test_a_damaged_folder_is_told_in_one_line(tmp_path, break_it, message):
    folder = Path(shutil.copytree(FOLDER, tmp_path / "reported"))
    break_it(folder)
    with pytest.raises(UserError, match=message) as caught:
        read_reported(folder / "index.json")
    assert "\n" not in str(caught.value)


def edit(path, before, after):
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))


def test_reported_rows_follow_marked_and_without_a_place():
    rows = rows_of(table_of(leaderboard, [DIFT, measured("mine", 10.0)], has_details=True, reported=REPORTED))
    assert [(row["#"], row["method"]) for row in rows[:3]] == [
        ("1", "dift"),
        ("2", "mine"),
        ("", "SD4Match-CPM (reported)"),
    ]
    assert all(row["method"].endswith("(reported)") and row["#"] == "" for row in rows[2:])
    cats = next(
        row for row in rows if row["method"] == "CATs (reported)" and row["trained on"] == "spair-71k"
    )
    assert (cats["spair-71k @0.10"], cats["spair-71k @0.05"], cats["pairs"], cats["note"]) == (
        "49.9",
        "–",
        "–",
        "SD4Match (CVPR 2024), Table 2",
    )


def test_the_difference_stands_in_the_measured_row():
    (row,) = (
        row
        for row in rows_of(table_of(leaderboard, [DIFT], has_details=True, reported=REPORTED))
        if row["method"] == "dift"
    )
    assert row["spair-71k @0.05"] == "40.7 ±4.5 (+1.0)"  # 39.7 printed
    assert row["spair-71k @0.10"] == "50.7 ±4.5 (−2.2)"  # 52.9 printed
    assert row["note"] == ""


@pytest.mark.parametrize(
    "other",
    [
        measured("dift", 40.7, prompt="wrong-category", localizer="argmax-original"),
        measured("dift", 40.7, prompt="category", localizer="argmax"),
        measured("dift[timestep=50]", 40.7, prompt="category", localizer="argmax-original"),
        measured("dift", 40.7, prompt="category", localizer="argmax-original", stored=4),
        measured("dift", 40.7, prompt="category", localizer="argmax-original", protocols=("original",)),
        measured(
            "sd4match-single", 40.7, prompt="sd4match-single", localizer="kernel-softmax", trained_on="shapes"
        ),
        measured("mine", 40.7),
    ],
    ids=["prompt", "localizer", "timestep", "limited", "protocol", "training data", "method"],
)
def test_what_was_not_printed_has_no_difference(other):
    table = table_of(leaderboard, [other], has_details=True, reported=REPORTED)
    assert "(" not in dict(zip(table.header, table.rows[0], strict=True))["spair-71k @0.10"]


def test_a_prompt_of_ones_own_is_held_against_the_claim():
    own = measured(
        "sd4match-single[prompt-file=mine/best.safetensors]",
        60.0,
        prompt="sd4match-single",
        localizer="kernel-softmax",
        backbone="stable-diffusion-2-1@1",
        trained_on="spair-71k",
        supervision="K",
    )
    table = table_of(leaderboard, [own], has_details=True, reported=REPORTED)
    assert dict(zip(table.header, table.rows[0], strict=True))["spair-71k @0.10"] == "70.0 ±4.5 (−2.6)"


@pytest.mark.parametrize(
    ("backbone", "note"),
    [
        ("tiny-stable-diffusion@1a1c3067", "other weights than the reported stable-diffusion-2-1"),
        ("stable-diffusion-2-1=folder@1a1c3067", "other weights than the reported stable-diffusion-2-1"),
        ("stable-diffusion-2-1@1a1c3067", ""),
    ],
)
def test_a_difference_to_other_weights_is_marked(backbone, note):
    record = measured("dift", 40.7, prompt="category", localizer="argmax-original", backbone=backbone)
    table = table_of(leaderboard, [record], has_details=True, reported=REPORTED)
    assert dict(zip(table.header, table.rows[0], strict=True))["note"] == note


def test_settings_that_the_paper_does_not_state_are_not_made_up():
    record = measured("dinov2", 40.0, localizer="argmax-patch", backbone="dinov2-base@1")
    table = table_of(leaderboard, [record], has_details=True, reported=REPORTED)
    rows = rows_of(table)
    assert rows[0]["note"] == "settings of the reported number are not stated"
    printed = next(row for row in rows if row["method"] == "DINOv2 (reported)")
    assert (printed["localizer"], printed["backbone"]) == ("–", "–")


def test_reported_rows_are_ranked_only_when_asked():
    table = table_of(
        leaderboard, [DIFT, measured("mine", 10.0)], has_details=True, reported=REPORTED, ranks_reported=True
    )
    rows = rows_of(table)
    places = {(row["method"], row["trained on"]): int(row["#"]) for row in rows if row["#"]}
    assert (
        places["SD4Match-CPM (reported)", "spair-71k"]
        < places["dift", "–"]
        < places["SD4Match-CPM (reported)", "pf-pascal"]
    )
    order = [float(row["spair-71k @0.10"].split()[0]) for row in rows]
    assert order == sorted(order, reverse=True)


def test_printed_numbers_have_no_predictions_to_test():
    def asked(lines, columns):
        raise AssertionError("places of reported rows")

    table_of(
        leaderboard,
        [DIFT, measured("mine", 10.0)],
        has_details=True,
        reported=REPORTED,
        ranks_reported=True,
        find_places=asked,
    )


def test_bold_is_for_measured_and_reported_apart_unless_asked():
    records = [DIFT, measured("mine", 10.0)]

    def best(**options):
        place = 5 + 1  # behind one column of numbers
        table = table_of(leaderboard, records, alphas=[0.1], has_details=True, reported=REPORTED, **options)
        return {
            (table.rows[row][1], table.rows[row][place])
            for (row, _), mark in table.marks.items()
            if mark == "best"
        }

    assert best() >= {("dift", "Z"), ("SD+DINO (reported)", "Z"), ("SD4Match-CPM (reported)", "K")}
    assert ("dift", "Z") not in best(ranks_reported=True)


def test_without_a_printed_number_of_these_datasets_those_of_all_are_shown():
    (table,) = [table_of(leaderboard, [a_record("mine")], has_details=True, reported=REPORTED)]
    assert {"birds @0.10", "pf-pascal @0.10", "pf-willow @0.15", "spair-71k @0.05"} <= set(table.header)
    rows = rows_of(table)
    assert (rows[0]["#"], rows[0]["birds @0.10"], rows[0]["spair-71k @0.10"]) == ("1", "60.0 ±4.5", "–")


def test_prompt_types_beside_table_1():
    rows = rows_of(
        table_of(
            prompt_types,
            [DIFT, measured("dift", 30.0, prompt="empty", localizer="argmax-original")],
            reported=REPORTED,
        )
    )
    assert (rows[0]["category"], rows[0]["empty"], rows[0]["implicit-captioner"]) == (
        "50.7 ±4.5 (−2.2)",
        "40.0 ±4.5 (−10.7)",
        "–",
    )
    assert [
        (row["method"], row["empty"], row["category"], row["implicit-captioner"]) for row in rows[1:]
    ] == [
        ("DIFT (reported)", "50.7", "52.9", "–"),
        ("SD+DINO* (reported)", "50.3", "52.2", "52.4"),
    ]


def test_methods_without_prompts_stay_the_last_column():
    table = table_of(prompt_types, [measured("dinov2", 40.0)], reported=REPORTED)
    assert table.header[3:] == ("empty", "category", "implicit-captioner", "none", "note")


def test_per_category_beside_table_2():
    record = measured("dift", 40.0, prompt="category", localizer="argmax-original")
    birds = [
        score.model_copy(update={"slice": score.slice.replace("robin", "bird")}) for score in record.scores
    ]
    (table,) = table_of(per_category, [record.model_copy(update={"scores": birds})], reported=REPORTED)
    rows = rows_of(table)
    assert (rows[0]["bird"], rows[0]["all"]) == ("50.0 (−29.5)", "50.0 ±4.5 (−2.9)")
    groups = [row["sup."] for row in rows[1:]]
    assert groups == sorted(groups, key="ZIK".index)
    assert next(row for row in rows if row["method"] == "PMD (reported)")["bird"] == "48.6"
    assert [row["all"] for row in rows[1:5]] == ["59.3", "53.9", "52.9", "35.9"]


def test_generalisation_beside_table_3():
    learned = {"prompt": "sd4match-single", "localizer": "kernel-softmax", "supervision": "K"}
    single = measured("sd4match-single", 50.0, trained_on="pf-pascal", **learned)
    rows = rows_of(table_of(generalisation, [single], reported=REPORTED))
    assert rows[0]["spair-71k @0.10"] == "60.0 ±4.5 (+15.6)"
    home = {(row["method"], row["trained on"]): row["spair-71k @0.10"] for row in rows}
    assert home["SD4Match-CPM (reported)", "spair-71k"] == "75.5 †"
    assert home["SD4Match-CPM (reported)", "pf-pascal"] == "40.9"


@pytest.fixture
def results(tmp_path):
    folder = tmp_path / "results"
    for record in (DIFT, measured("mine", 10.0)):
        (folder / record.cell.id).mkdir(parents=True)
        write_record(folder / record.cell.id, record)
    return folder


def test_leaderboard_reported(bench, results):
    outcome = bench("leaderboard", results, "--reported", "--no-places")
    assert outcome.status == 0
    assert "**50.7** ±4.5 (−2.2)" in outcome.out
    assert "SimSC-iBOT (reported)" in outcome.out
    ranked = bench("leaderboard", results, "--rank-reported", "--no-places")
    assert "| 1   | SD4Match-C" in ranked.out


def test_csv_and_json_have_both_sources(bench, results):
    rows = json.loads(bench("leaderboard", results, "--reported", "--format", "json").out)
    assert {row["source"] for row in rows} == {"measured", "reported"}
    keys = ("method", "prompt", "localizer", "dataset", "split", "protocol", "averaging", "alpha", "slice")
    dift = ("dift", "category", "argmax-original", "spair-71k", "test", "sd4match", "image", 0.1, "all")
    assert {row["source"]: row["pck"] for row in rows if tuple(row[key] for key in keys) == dift} == {
        "measured": 50.7,
        "reported": 52.9,
    }
    table = list(
        csv.DictReader(io.StringIO(bench("leaderboard", results, "--reported", "--format", "csv").out))
    )
    assert len(table) == len(rows)
    assert {row["pairs"] for row in table if row["source"] == "measured"} == {"10"}
    assert {row["pairs"] for row in table if row["source"] == "reported"} == {""}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--table", "timesteps", "--reported"), "no paper printed numbers by timestep"),
        (("--table", "prompt-types", "--rank-reported"), "ranks nothing"),
        (("--table", "per-category", "--alphas", "0.05,0.1"), "one threshold"),
    ],
)
def test_options_that_make_no_sense_together(bench, results, options, message):
    outcome = bench("leaderboard", results, *options)
    assert outcome.status == 2
    assert message in outcome.complaint


def test_papers_rows_of_our_methods_have_the_recipes_prompt_and_localizer():
    """Else no default run has a difference to the printed number behind its own."""
    methods = load_plugins().methods
    ours = [row for row in REPORTED.methods if row.method in methods]
    assert {row.method for row in ours} >= {"dift", "dinov1", "dinov2", "sd-dino", "sd-dino-star"}
    for row in ours:
        assert row.localizer == methods[row.method].localizer, row.method
