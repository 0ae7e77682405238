"""Rows of several seeds: means, intervals over images and seeds, places, and what is said of them."""

from __future__ import annotations

import csv
import io
import itertools
import json
import shutil
import types

import numpy as np
import pytest
import torch
from support.extractors import small_map
from support.made_up_records import a_failed_record, a_record, a_timestep_record, with_provenance
from support.results import rewrite_predictions
from support.views import table_of, view_of

import harness.cli
from harness.cli import status
from harness.hookspecs import hookimpl
from harness.plugins.loading import load_plugins
from harness.records.folders import read_record, write_record
from harness.records.predictions import read_predictions
from harness.report.series import series_by_split
from harness.specs import ExtractorSpec
from harness.tables.categories import per_category
from harness.tables.differences import _pck_and_difference
from harness.tables.generalisation import generalisation
from harness.tables.leaderboard import leaderboard
from harness.tables.prompt_types import prompt_types
from harness.tables.row_counts import RowCounts, _by_seed
from harness.tables.sweep import sweep

PAIRS = 40

NOISE = {0: 0.0, 1: 0.3, 2: 3.0}
"""Seed -> spread of the noise on the features of `wild`: its seeds differ much."""


def at_seed(record, seed):
    """The record as the cell of this seed."""
    label = record.cell.label
    if seed:
        label = f"{label[:-1]},seed={seed}]" if label.endswith("]") else f"{label}[seed={seed}]"
    changes = {"seed": seed, "label": label, "id": f"{record.cell.id}-{seed}"}
    return record.model_copy(update={"cell": record.cell.model_copy(update=changes)})


def seeds_of(method, values, **options):
    """A cell for each seed: seed -> PCK at 0.05; at 0.10 it is ten more."""
    return [at_seed(a_record(method, pck, **options), seed) for seed, pck in values.items()]


def rows_of(table):
    return [dict(zip(table.header, row, strict=True)) for row in table.rows]


def the_row(records, method=None, **choices):
    """The only row, or the only one of a method."""
    rows = rows_of(table_of(leaderboard, records, has_details=True, **choices))
    (row,) = [row for row in rows if method in (None, row["method"])]
    return row


def test_seeds_of_one_method_are_one_row_with_their_mean():
    records = [*seeds_of("mine", {0: 50.0, 1: 53.0, 2: 59.0}), a_record("other", 40.0)]
    table = table_of(leaderboard, records, has_details=True)
    mine, other = rows_of(table)
    assert (mine["method"], mine["birds @0.10"], mine["seeds"]) == ("mine", "64.0 –", "3 seeds")
    assert (other["method"], other["birds @0.10"], other["seeds"]) == ("other", "50.0 ±4.5", "1 seed")
    assert "Rows of several seeds are their mean; images and seeds are drawn together." in table.caption


def test_a_terminal_says_once_what_all_rows_have():
    records = [*seeds_of("mine", {0: 50.0, 1: 53.0}), *seeds_of("other", {0: 40.0, 1: 41.0})]
    text = table_of(leaderboard, records, has_details=True).render("text")
    assert ", 2 seeds, " in " ".join(text.split())


def test_the_order_of_records_does_not_matter():
    records = [*seeds_of("mine", {0: 50.1, 1: 53.2, 2: 59.3}), *seeds_of("other", {2: 40.0, 0: 41.3})]
    texts = set()
    for order in itertools.permutations(records):
        table = table_of(leaderboard, order, has_details=True)
        texts.add((table.caption, table.rows))
    assert len(texts) == 1


def test_one_seed_that_is_not_0_is_named():
    row = the_row(seeds_of("mine", {1: 50.0}))
    assert (row["method"], row["birds @0.10"], row["seeds"]) == ("mine", "60.0 ±4.5", "1 seed")
    assert row["note"] == "birds: seed 1"
    assert row["#"] == "1"


def test_datasets_may_have_other_numbers_of_seeds():
    records = [*seeds_of("mine", {0: 50.0, 1: 60.0}), *seeds_of("mine", {0: 20.0}, dataset="fish")]
    assert the_row(records)["seeds"] == "2 seeds; fish 1 seed"
    table = table_of(leaderboard, records)
    assert "Each number is of 1 seed, or the mean of as many as its note says" in table.caption
    assert rows_of(table)[0]["note"] == "2 seeds; fish 1 seed"


def test_a_seed_of_other_pairs_is_left_out_and_told():
    whole, rest = seeds_of("mine", {0: 50.0, 1: 60.0}), seeds_of("mine", {2: 10.0}, stored=4)
    row = the_row([*rest, *whole])
    assert (row["#"], row["birds @0.10"], row["seeds"]) == ("1", "65.0 –", "2 seeds")
    assert row["note"].startswith("birds: seed 2 left out: limited to 4 of 10 pairs")


def test_seeds_of_the_same_part_are_averaged_and_not_ranked():
    row = the_row(seeds_of("mine", {0: 50.0, 1: 60.0}, stored=4))
    assert (row["#"], row["birds @0.10"], row["seeds"]) == ("", "65.0 –", "2 seeds")
    assert row["note"].startswith("birds: limited to 4 of 10 pairs")


def test_a_failed_seed_is_left_out_and_told():
    records = [*seeds_of("mine", {0: 50.0, 2: 60.0}), at_seed(a_failed_record("mine"), 1)]
    row = the_row(records)
    assert (row["birds @0.10"], row["seeds"]) == ("65.0 –", "2 seeds")
    assert row["note"] == "birds: seed 1 left out: failed: no & <such> 5_% thing"


def test_seeds_that_all_failed_are_one_row_with_the_reason():
    row = the_row([at_seed(a_failed_record("mine"), seed) for seed in (0, 1)])
    assert (row["method"], row["seeds"]) == ("mine", "–")
    assert row["note"] == "birds: failed: no & <such> 5_% thing"


def test_a_seed_without_the_protocol_is_left_out_and_told():
    records = [*seeds_of("mine", {0: 50.0, 1: 60.0}), *seeds_of("mine", {2: 1.0}, protocols=("padded",))]
    row = the_row(records, protocol="sd4match")
    assert (row["birds @0.10"], row["seeds"]) == ("65.0 –", "2 seeds")
    assert "seed 2 left out: no protocol sd4match; 'bench rescore' adds it" in row["note"]


def test_a_number_that_one_seed_lacks_is_none_of_the_row():
    records = [*seeds_of("mine", {0: 50.0}), *seeds_of("mine", {1: 60.0}, alphas=(0.05,))]
    row = the_row([*records, a_record("other", 40.0), a_record("third", 41.0)], method="mine")
    assert (row["#"], row["birds @0.05"], row["birds @0.10"]) == ("", "55.0 –", "–")
    assert row["note"] == "no birds @0.10"


def test_other_averages_are_means_over_seeds_that_all_have_them():
    # Per point, each is one more than per image: nothing is ordered differently.
    mine, other = seeds_of("mine", {0: 50.0, 1: 60.0}), a_record("other", 54.9)
    lowered = [
        score.model_copy(update={"pck": 1.0}) if score.averaging == "point" else score
        for score in mine[1].scores
    ]
    low = mine[1].model_copy(update={"scores": lowered})
    sentence = "Another average orders rows differently"
    assert sentence not in table_of(leaderboard, [*mine, other]).caption
    assert sentence in table_of(leaderboard, [mine[0], low, other]).caption
    without = [score for score in mine[0].scores if score.averaging != "point"]
    short = mine[0].model_copy(update={"scores": without})
    assert sentence not in table_of(leaderboard, [short, low, other]).caption


def test_a_seed_of_other_parameters_is_left_out_and_told():
    records = seeds_of("mine", {0: 50.0, 1: 60.0})
    other = records[1].cell.model_copy(update={"params": {"level": "up"}})
    row = the_row([records[0], records[1].model_copy(update={"cell": other})])
    assert (row["birds @0.10"], row["seeds"]) == ("60.0 ±4.5", "1 seed")
    assert row["note"] == "birds: seed 1 left out: other parameters"


def test_seeds_of_other_code_are_another_row():
    records = seeds_of("mine", {0: 50.0, 1: 60.0, 2: 62.0})
    made = [
        with_provenance(record, extractor=code, started=started)
        for record, code, started in zip(
            records, ("mine 1", "mine 2", "mine 2"), ("2026-01", "2026-02", "2026-03"), strict=True
        )
    ]
    new, old = rows_of(table_of(leaderboard, made, has_details=True))
    assert (new["method"], new["birds @0.10"], new["seeds"]) == ("mine", "71.0 –", "2 seeds")
    assert old["method"].startswith("mine (older version ")
    assert (old["#"], old["birds @0.10"], old["seeds"]) == ("", "60.0 ±4.5", "1 seed")


def test_other_tables_have_the_same_rows():
    records = seeds_of("mine", {0: 50.0, 1: 60.0})
    for table in (
        *per_category(records, view_of(records)),
        table_of(prompt_types, records),
        table_of(generalisation, records),
        table_of(leaderboard, records),
    ):
        (row,) = table.rows
        assert "65.0 –" in row
        assert "Each number is the mean of 2 seeds; images and seeds are drawn together." in table.caption
    (split,) = series_by_split(records, view_of(records))
    (series,) = split.series
    assert (series.name, series.seeds, series.pck(0.1)) == ("mine", (0, 1), 65.0)


def test_tables_without_a_column_of_seeds_say_where_they_differ():
    records = [*seeds_of("mine", {0: 50.0, 1: 60.0}), a_record("mine", 30.0, prompt="category")]
    table = table_of(prompt_types, records)
    assert "Each number is of 1 seed, or the mean of as many as its note says" in table.caption
    assert rows_of(table)[0]["none"] == "65.0 –"
    assert rows_of(table)[0]["note"] == "none: birds: 2 seeds"


def test_a_sweep_has_the_mean_over_seeds_at_each_value():
    cells = {50: (20.0, 30.0), 100: (40.0,)}
    records = []
    for step, values in cells.items():
        for seed, pck in enumerate(values):
            records.append(at_seed(a_timestep_record("dift", step, pck), seed))
    table = table_of(sweep, records)
    assert table.header == ("timestep", "dift", "note")
    assert table.rows == (("50", "35.0 –", "dift: 2 seeds"), ("100", "50.0 ±4.5", ""))


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """`wild` and `position`, of three seeds, and `plain` of one, as whole cells."""
    folder = tmp_path_factory.mktemp("seeds") / "results"

    def wild(requests):
        for request in requests:
            features = small_map(request)
            random = np.random.default_rng([request.seed, int(request.identity[:8], 16)])
            noise = random.normal(0, NOISE[request.seed], tuple(features.data.shape))
            features.data.add_(torch.from_numpy(noise.astype(np.float32)))
            yield features

    extractors = {
        "wild": lambda requests: list(wild(requests)),
        "plain": lambda requests: [small_map(request) for request in requests],
    }
    module = types.ModuleType("mine")
    specs = [
        ExtractorSpec(
            name=name,
            make=lambda context, extract=extract: types.SimpleNamespace(extract=extract),
            image_size=(48, 48),
        )
        for name, extract in extractors.items()
    ]
    module.bench_extractors = hookimpl(lambda: specs)

    def load(blocked=()):
        host = load_plugins(blocked, points=[])
        host.load("mine", "mine", "1", lambda: module)
        return host

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(harness.cli, "load_plugins", load)
        options = ("--split", "val", "--limit", str(PAIRS), "--localizers", "argmax", "--out", str(folder))
        assert status(["run", "--methods", "wild,position", "--seeds", "0,1,2", *options]) == 0
        assert status(["run", "--methods", "plain", *options]) == 0
    for path in folder.glob("*/record.json"):
        record = read_record(path)
        counts = record.counts.model_copy(update={"pairs": PAIRS, "official": None})
        write_record(path.parent, record.model_copy(update={"counts": counts}))
    return folder


def printed(out):
    """(method, localizer) -> row."""
    lines = [line for line in out.splitlines() if line.startswith("|")]
    header, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    return {row[1]: dict(zip(header, row, strict=True)) for row in rows}


def scores_of(folder, method, alpha=0.1):
    """Seed -> the recorded score over all pairs, of the protocol's own average."""
    scores = {}
    for path in folder.glob("*/record.json"):
        record = read_record(path)
        for score in record.scores:
            is_wanted = (score.slice, score.averaging, score.alpha) == ("all", "image", alpha)
            if is_wanted and record.cell.method == method:
                scores[record.cell.seed] = score
    return scores


def number_and_half(text):
    number, _, half = text.replace("*", "").replace("<ins>", "").replace("</ins>", "").partition(" ±")
    return float(number), float(half)


def test_intervals_are_over_images_and_seeds(bench, results):
    outcome = bench("leaderboard", results)
    assert outcome.status == 0, outcome.err
    rows = printed(outcome.out)
    wild = scores_of(results, "wild")
    number, half = number_and_half(rows["wild"]["shapes/val @0.10"])
    assert number == round(np.mean([score.pck for score in wild.values()]), 1)
    # No seed knows how others would differ.
    assert half > max((score.high - score.low) / 2 for score in wild.values())
    # Seeds that are all the same say no more than one, and no less.
    same = scores_of(results, "position")[0]
    expected = round(same.pck, 1), round((same.high - same.low) / 2, 1)
    assert number_and_half(rows["position"]["shapes/val @0.10"]) == expected
    assert [rows[name]["seeds"] for name in ("wild", "position", "plain")] == ["3 seeds", "3 seeds", "1 seed"]
    assert all(row["#"] for row in rows.values())


def test_a_row_whose_seeds_differ_has_a_wider_place(bench, results, tmp_path):
    three = printed(bench("leaderboard", results).out)
    folder = shutil.copytree(results, tmp_path / "one")
    # Of `wild`, the seed that is all noise; of `position`, any.
    for path in folder.glob("*"):
        is_other = "wild" in path.name and "seed-2" not in path.name
        if is_other or "position-seed" in path.name:
            shutil.rmtree(path)
    one = printed(bench("leaderboard", folder).out)
    assert [row["seeds"] for row in one.values()] == ["1 seed"] * 3
    assert three["position"]["shapes/val @0.10"] == one["position"]["shapes/val @0.10"]

    def ends(row):
        best, _, worst = row["#"].partition("-")
        return int(best), int(worst or best)

    assert "seed 2" in one["wild"]["note"]
    # From three seeds that differ so much nobody knows on which side of the next row their mean lies.
    assert ends(three["wild"]) == (2, 3)
    assert ends(one["wild"]) == (3, 3)


def test_rows_whose_predictions_cannot_be_read_have_no_interval_and_say_so(bench, results, tmp_path):
    folder = shutil.copytree(results, tmp_path / "torn")
    next(folder.glob("*wild-seed-1*/predictions.parquet")).write_bytes(b"PAR1")
    outcome = bench("leaderboard", folder)
    assert outcome.status == 1
    rows = printed(outcome.out)
    assert "±" not in rows["wild"]["shapes/val @0.10"]
    assert "no ± over seeds: " in rows["wild"]["note"]
    assert "place by value" in rows["wild"]["note"]
    assert "±" in rows["position"]["shapes/val @0.10"]


def test_recorded_means_that_are_not_those_of_predictions_get_no_interval(bench, results, tmp_path):
    folder = shutil.copytree(results, tmp_path / "changed")
    (path,) = folder.glob("*wild-seed-1*")
    record = read_record(path / "record.json")
    scores = [score.model_copy(update={"pck": 1.5}) for score in record.scores]
    write_record(path, record.model_copy(update={"scores": scores}))
    rows = printed(bench("leaderboard", folder).out)
    assert "±" not in rows["wild"]["shapes/val @0.10"]
    assert "no ± over seeds: scores are not those of the predictions; 'bench rescore'" in rows["wild"]["note"]


def test_files_for_machines_have_each_seed(bench, results):
    rows = list(csv.DictReader(io.StringIO(bench("leaderboard", results, "--format", "csv").out)))
    assert "seed" in rows[0]
    seeds = {(row["method"], row["seed"]) for row in rows if row["method"].startswith("wild")}
    assert seeds == {("wild", "0"), ("wild[seed=1]", "1"), ("wild[seed=2]", "2")}


def test_a_page_draws_means_and_lists_each_cell(bench, results, tmp_path):
    page = tmp_path / "page.html"
    assert bench("report", results, "--out", page).status == 0
    text = page.read_text()
    assert "40 pairs, " in text
    assert "keypoints, 1 to 3 seeds." in text
    assert (
        "Of several seeds, the mean is drawn; for its interval, images and seeds are drawn together." in text
    )
    assert "Of a series of several seeds, the points are those of the first." in text
    assert "wild[seed=2]" in text


def compared(bench, results, run_a, run_b, *options):
    """The rows over all pairs at 0.10, and what was said on stderr."""
    outcome = bench("compare", f"{results}:{run_a}", f"{results}:{run_b}", "--format", "json", *options)
    assert outcome.status == 0, outcome.err
    rows = json.loads(outcome.out)["differences"]
    return [row for row in rows if row["slice"] == "all" and row["alpha"] == 0.1], outcome.warnings


def test_runs_of_several_seeds_are_compared_once(bench, results):
    (row,), warnings = compared(bench, results, "wild", "position")
    assert warnings == []
    assert (row["method_a"], row["method_b"]) == ("wild", "position")
    assert (row["seed"], row["seeds"]) == (None, 3)
    means = []
    for method in ("wild", "position"):
        scores = scores_of(results, method)
        means.append(np.mean([scores[seed].pck for seed in (0, 1, 2)]))
    assert [row["pck_a"], row["pck_b"]] == pytest.approx(means)
    assert row["difference"] == pytest.approx(means[1] - means[0])
    assert [cell.split(".")[0] for cell in row["cell_a"].split("+")] == [
        f"shapes-val-wild{end}" for end in ("", "-seed-1", "-seed-2")
    ]
    assert row["p_mcnemar"] is row["p_mcnemar_holm"] is None
    (single,), _ = compared(bench, results, "wild[seed=1]", "position[seed=1]")
    assert (single["method_a"], single["seed"], single["seeds"]) == ("wild[seed=1]", 1, 1)
    assert single["p_mcnemar"] is not None


@pytest.mark.parametrize("shifts", [(0, 0, 0), (0, 1, 4)])
def test_a_difference_is_as_sure_as_its_seeds_agree(shifts):
    random = np.random.default_rng(3)
    images = random.permuted(np.tile(np.arange(30), (80, 1)), axis=1)[:, :2]
    right = np.stack([np.full(80, 4), random.integers(3, 6, 80)])
    runs = [right + np.array([[0], [shift]]) for shift in shifts]

    def width(runs):
        pairs = types.SimpleNamespace(
            right=np.stack(runs)[..., None].astype(float),
            total=np.full(80, 10),
            images=images,
            categories=["cat"] * 80,
            slices={"all": np.ones(80, dtype=bool)},
            alphas=(0.1,),
        )
        pck, estimates = _pck_and_difference(pairs, "image")
        difference = estimates.draws().interval()
        shares = np.mean(runs, axis=0).mean(axis=1) / 10
        assert pck[:, 0] == pytest.approx(shares)
        assert difference.value == pytest.approx(shares[1] - shares[0])
        return float(difference.high[0] - difference.low[0])

    if any(shifts):
        assert width(runs) > 5 * width(runs[:1])
    else:
        assert width(runs) == pytest.approx(width(runs[:1]))


def test_exchanged_runs_of_several_seeds_have_the_opposite_difference(bench, results):
    (row,), _ = compared(bench, results, "wild", "position")
    (back,), _ = compared(bench, results, "position", "wild")
    assert [back["difference"], back["low"], back["high"]] == pytest.approx(
        [-row["difference"], -row["high"], -row["low"]], abs=1.0
    )


def test_equal_runs_of_several_seeds_differ_by_exactly_nothing(bench, results):
    (row,), _ = compared(bench, results, "wild", "wild")
    assert [row[key] for key in ("difference", "low", "high", "only_a", "only_b")] == [0, 0, 0, 0, 0]


def test_seeds_that_one_run_lacks_are_left_out_and_told(bench, results):
    (row,), warnings = compared(bench, results, "wild", "plain")
    assert (row["seed"], row["seeds"]) == (0, 1)
    assert [("seed-1" in line, "seed-2" in line) for line in warnings] == [(True, False), (False, True)]


def test_protocols_are_compared_over_seeds(bench, results, tmp_path):
    folder = shutil.copytree(results, tmp_path / "rescored")
    assert bench("rescore", folder, "--protocols", "sd4match,original").status == 0
    done = bench("compare", f"{folder}:wild", "--protocols", "sd4match,original", "--format", "md")
    assert done.status == 0, done.err
    assert "3 seeds: PCK is their mean, and images and seeds are drawn together." in done.out
    # A test that was left out is adjusted for nothing.
    assert "and 0 tests by McNemar" in done.out
    assert "A: wild (argmax" in done.out


def test_seeds_of_other_pairs_are_compared_apart(bench, results, tmp_path):
    folder = shutil.copytree(results, tmp_path / "limited")
    # Both sides of this seed: none has a pair alone.
    for cell in folder.glob("*seed-1*"):
        rows = read_predictions(cell / "predictions.parquet").to_pylist()
        kept = set(sorted({row["pair_id"] for row in rows})[:20])
        rewrite_predictions(cell, [row for row in rows if row["pair_id"] in kept])
    rows, _ = compared(bench, folder, "wild", "position")
    assert [(row["method_a"], row["seed"], row["seeds"], row["pairs"]) for row in rows] == [
        ("wild", None, 2, PAIRS),
        ("wild[seed=1]", 1, 1, 20),
    ]


def test_seeds_that_a_split_lacks_keep_its_mean_and_the_variance_over_seeds():
    random = np.random.default_rng(0)
    right = random.normal(size=(2, 5))
    filled = _by_seed(RowCounts(("a",) * 5, (0, 2), right, np.ones(5), None), (0, 1, 2, 3))
    assert filled.mean(axis=0) == pytest.approx(right.mean(axis=0))
    assert filled.var(axis=0, ddof=1) / 4 == pytest.approx(right.var(axis=0, ddof=1) / 2)
    assert filled[[1, 3]] == pytest.approx(np.tile(right.mean(axis=0), (2, 1)))
