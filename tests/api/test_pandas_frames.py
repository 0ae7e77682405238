"""Stored numbers as frames: `harness.leaderboard`, `scores`, `compare` and `predictions`."""

from __future__ import annotations

import io
import re
import shutil

import numpy as np
import pandas as pd
import pytest

import harness
from harness.api.frames import frame_of
from harness.errors import BenchWarning, UserError
from harness.tables.table import Table


def printed_frame(text):
    """A table in markdown as texts."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    header, _, *rows = [[field.strip() for field in line.strip("|").split("|")] for line in lines]
    return pd.DataFrame(rows, columns=header)


def test_a_leaderboard_is_the_printed_table(bench, ran):
    out, _ = ran
    frame = harness.leaderboard(out)
    printed = printed_frame(bench("leaderboard", out).out)
    for name in ("#", "method", "localizer", "note", "tuned on"):
        assert frame[name].tolist() == printed[name].tolist()
    numbers = [re.search(r"[\d.]+", text)[0] for text in printed["shapes @0.10"]]
    assert [f"{value:.1f}" for value in frame["shapes @0.10"]] == numbers
    assert frame["pairs"].tolist() == [12, 12]
    assert frame["s/pair"].dtype == float
    assert frame.attrs["caption"].startswith("PCK in percent at alpha, protocol sd4match")


def test_a_run_returns_the_rows_of_its_leaderboard(ran):
    out, frame = ran
    columns = ["localizer", "shapes @0.05", "shapes @0.10", "shapes @0.10 ±"]
    pd.testing.assert_frame_equal(frame[columns], harness.leaderboard(out)[columns])


def test_scores_are_the_rows_of_csv(bench, ran):
    out, _ = ran
    frame = harness.scores(out, alphas=0.1, averaging="image")
    text = bench("leaderboard", out, "--format", "csv", "--alphas", 0.1, "--averaging", "image").out
    expected = pd.read_csv(io.StringIO(text), keep_default_na=False, na_values={"pck": "", "images": ""})
    assert list(frame.columns) == list(expected.columns)
    for name in ("method", "slice", "pck", "pairs", "status"):
        assert frame[name].tolist() == expected[name].tolist()
    assert frame["pck"].dtype == float


def test_a_comparison_is_the_rows_of_csv(bench, ran):
    out, _ = ran
    frame = harness.compare(out, out, localizers="argmax,bilinear", alphas=0.1)
    text = bench(
        "compare", out, out, "--localizers", "argmax,bilinear", "--alphas", 0.1, "--format", "csv"
    ).out
    expected = pd.read_csv(io.StringIO(text))
    assert list(frame.columns) == list(expected.columns)
    assert frame["slice"].tolist() == expected["slice"].tolist()
    for name in ("difference", "low", "p_holm", "only_b"):
        np.testing.assert_allclose(frame[name], expected[name])


def test_one_run_is_compared_under_several_protocols(ran):
    out, _ = ran
    frame = harness.compare(out, protocols="sd4match,original", localizers="argmax", alphas=[0.1])
    assert set(frame["protocol_a"]) == {"sd4match"}
    assert set(frame["protocol_b"]) == {"original"}


def test_predictions_of_a_cell(ran):
    out, made = ran
    for cell in (made.attrs["cells"][0], f"{out}:position"):
        frame = harness.predictions(cell)
        assert {"pair_id", "keypoint_id", "localizer", "x", "y", "score"} <= set(frame.columns)
        assert frame["pair_id"].nunique() == 12


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda out: harness.leaderboard(out, table="overal"),
            "unknown table 'overal'; did you mean overall?",
        ),
        (
            lambda out: harness.leaderboard(out, averaging="images"),
            "unknown averaging 'images'; did you mean",
        ),
        (lambda out: harness.leaderboard([]), "folders: is empty"),
        (lambda out: harness.leaderboard(out / "nothing"), "nothing"),
        (lambda out: harness.scores(out, localizers="softmax"), "localizer"),
        (
            lambda out: harness.compare(out, out, localizers="a,b,c"),
            "one name for both runs, or one for each",
        ),
        (lambda out: harness.predictions(out / "x"), "unknown run"),
    ],
)
def test_a_mistake_is_told_in_one_line(ran, call, message):
    with pytest.raises(UserError, match=message) as caught:
        call(ran[0])
    assert "\n" not in str(caught.value)


def test_a_damaged_record_is_warned_of(ran, tmp_path):
    copy = tmp_path / "results"
    shutil.copytree(ran[0], copy)
    shutil.copytree(next(copy.iterdir()), copy / "other")
    (copy / "other" / "record.json").write_text("{")
    with pytest.warns(BenchWarning, match=r"other/record\.json"):
        rest = harness.leaderboard(copy)
    assert rest["method"].tolist() == ["position", "position"]
    with pytest.raises(UserError, match="other"):
        harness.predictions(copy / "other")


def test_numbers_intervals_and_differences_become_columns_of_their_own():
    table = Table(
        caption="PCK.",
        header=("#", "method", "birds @0.10", "pairs", "s/pair", "note"),
        rows=(
            ("1–2", "a", "50.7 ±1.0 (−2.2)", "1,200", "0.75 / 0.81", ""),
            ("1", "b", "49.0 – †", "20", "–", "limited"),
            ("", "c", "–", "–", "–", ""),
        ),
        names=2,
    )
    frame = frame_of(table)
    assert list(frame.columns) == [
        "#",
        "method",
        "birds @0.10",
        "birds @0.10 ±",
        "birds @0.10 − reported",
        "pairs",
        "s/pair",
        "note",
    ]
    np.testing.assert_equal(frame["birds @0.10"].tolist(), [50.7, 49.0, np.nan])
    np.testing.assert_equal(frame["birds @0.10 ±"].tolist(), [1.0, np.nan, np.nan])
    np.testing.assert_equal(frame["birds @0.10 − reported"].tolist(), [-2.2, np.nan, np.nan])
    assert frame["pairs"].tolist()[:2] == [1200, 20]
    assert frame["s/pair"].tolist() == ["0.75 / 0.81", "–", "–"]
    assert frame["#"].tolist() == ["1–2", "1", ""]


def test_a_table_without_rows_is_a_frame_without_rows():
    frame = frame_of(Table("", ("method", "birds @0.10", "note"), (), names=1))
    assert list(frame.columns) == ["method", "birds @0.10", "note"]
    assert len(frame) == 0
