"""Intervals as tables print them: their kind, the number of images behind them, and where there is none."""

from __future__ import annotations

import json
import re
from shutil import copytree

import pytest
from support.made_up_records import a_record, a_timestep_record
from support.markdown import cells_of_markdown
from support.photos import make_photos
from support.results import put_record, strip_truth

from harness.records.schema import Record
from harness.report.figures import sections
from harness.tables.catalogue import CATALOGUE
from harness.tables.intervals import interval_sentences, number_text
from harness.tables.tidy import tidy_rows
from harness.tables.view import View


def score(low=49.0, high=51.0, *, pairs=600, images: int | None = 298, pck=50.0):
    template = a_record(alphas=(0.1,)).scores[0]
    changes = {"low": low, "high": high, "pairs": pairs, "images": images, "pck": pck}
    return template.model_copy(update=changes)


def of_before(record: Record) -> Record:
    """The record as an earlier version wrote it, with intervals over pairs."""
    return record.model_copy(
        update={"scores": [each.model_copy(update={"images": None}) for each in record.scores]}
    )


OLD = (
    "‡ takes pairs as independent, though they share images: too narrow; "
    "`bench rescore RESULTS` makes it anew."
)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (score(), "50.0 ±1.0"),
        (score(images=None), "50.0 ±1.0‡"),
        (score(None, None, images=9), "50.0 –"),
        (score(None, None, images=None), "50.0 –"),
        (None, "–"),
    ],
)
def test_a_number_says_its_kind_of_interval(number, text):
    assert number_text(number) == text


@pytest.mark.parametrize(
    ("scores", "sentences"),
    [
        (
            {"shapes": [score(), score()]},
            ["± half the 95 % interval: bootstrap over images, 600 pairs of 298 images."],
        ),
        # A limited row has fewer.
        (
            {"shapes": [score(), score(pairs=60, images=70)]},
            ["± half the 95 % interval: bootstrap over images, up to 600 pairs of 298 images."],
        ),
        (
            {"shapes": [score()], "birds": [score(pairs=1, images=2)]},
            [
                "± half the 95 % interval: bootstrap over images, shapes: 600 pairs of 298 images; birds: "
                "1 pair of 2 images."
            ],
        ),
        ({"shapes": [score(images=None)]}, ["± half the 95 % interval.", OLD]),
        (
            {"shapes": [score(), score(images=None)]},
            ["± half the 95 % interval: bootstrap over images, 600 pairs of 298 images.", OLD],
        ),
        (
            {"shapes": [score(None, None, images=9)]},
            ["– behind a number: no interval, as there are fewer than ten images."],
        ),
        (
            {"shapes": [score(None, None, pck=0.0)]},
            ["– behind a number: no interval, as all pairs have the same score, or a note says why."],
        ),
        ({}, []),
    ],
)
def test_a_caption_says_what_is_in_its_table(scores, sentences):
    assert interval_sentences(scores) == sentences


@pytest.mark.parametrize("name", ["overall", "per-category", "generalisation", "prompt-types", "timesteps"])
def test_each_table_marks_intervals_of_before(name):
    records = [a_timestep_record("dift", step, 40.0) for step in (50, 261)]
    for each, is_marked in ((records, False), ([of_before(records[0]), records[1]], True)):
        (table,) = CATALOGUE[name].tables(each, View())
        assert ("‡" in "".join(map("".join, table.rows))) is is_marked
        assert (OLD in table.caption) is is_marked


def test_charts_mark_series_of_before():
    records = [a_record("old"), a_record("new", 40.0)]
    for each, marked in ((records, []), ([of_before(records[0]), records[1]], ["old‡"])):
        figure = sections(each, View())[0].figures[0]
        assert [entry.title for entry in figure.legend if "‡" in entry.title] == marked
        assert (OLD in figure.caption) is bool(marked)
        assert "n = 10 pairs of 20 images" in figure.caption
        assert ("‡" in figure.numbers.render("md")) is bool(marked)


def test_rows_for_machines_say_the_kind():
    record = a_record(alphas=(0.1,))
    single = a_record("single", alphas=(0.1,), pairs=1, stored=1)
    kinds = {
        (row["method"], row["images"], row["interval"])
        for row in tidy_rows([record, single, of_before(a_record("old", alphas=(0.1,)))])
    }
    assert kinds == {("mine", 20, "images"), ("single", 2, None), ("old", None, "pairs")}


def test_a_record_of_before_loses_its_mark_when_it_is_scored_anew(bench, tmp_path):
    photos = make_photos(tmp_path / "photos", images=12)
    results = tmp_path / "r"
    data = ("--datasets", f"folder={photos}")
    run = bench("run", "--methods", "position,hog", *data, "--localizers", "argmax", "--out", results)
    assert run.status == 0
    old = copytree(results, tmp_path / "old")
    for path in old.glob("*/record.json"):
        content = json.loads(path.read_text())
        for each in content["scores"]:
            del each["images"]
        put_record(path, content)
    strip_truth(old)
    before = bench("leaderboard", old, *data)
    assert (before.status, before.out.count("‡ |") > 0, OLD in before.out) == (0, True, True)
    page = tmp_path / "page.html"
    assert bench("report", old, *data, "-o", page).status == 0
    assert "‡" in page.read_text(encoding="utf-8")
    assert bench("rescore", old, *data).status == 0
    after = bench("leaderboard", old, *data)
    assert "‡" not in after.out
    assert after.out == bench("leaderboard", results, *data).out
    # What a run prints has the same places, numbers and intervals.
    printed, shown = (
        [re.sub("</?ins>|[*]", "", cell) for row in cells_of_markdown(out)[2:] for cell in row[:8]]
        for out in (run.out, after.out)
    )
    assert printed == shown
    assert "hold for all rows together" in run.out
    assert "hold for all rows together" in after.out
