"""`bench match`: the predictions of `bench run` for two pictures, in a table and in a drawing."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pyarrow.parquet as pq
import pytest
import torch
from support.photos import draw, write_list

import harness
from harness.builtin import bench_localizers
from harness.cli.match import _text
from harness.errors import BenchError, BenchWarning, UserError
from harness.frames import Frame, Size
from harness.localizers.cosines import cosines
from harness.localizers.on_grid import Argmax
from harness.matching import picture as matching_picture
from harness.matching.match import Match
from harness.matching.picture import _clamp
from harness.specs import FeatureMap, LocalizerSpec

POINTS = [(12.25, 9), (70, 31.5), (0, 60), (90, 0)]

SIZES = Size(90, 60), Size(64, 80)

SPECS = {spec.name: spec for spec in bench_localizers()} | {
    "a plugin's": LocalizerSpec(name="a plugin's", make=Argmax),
    "a plugin's of patches": LocalizerSpec(name="a plugin's of patches", make=Argmax, grid="patch-centre"),
    "a plugin's of pixels": LocalizerSpec(
        name="a plugin's of pixels", make=Argmax, grid="half-pixel", reads="pixel"
    ),
}
"""The built-in localizers, and such as plugins bring, by name."""


@pytest.fixture
def pair(tmp_path, monkeypatch) -> Path:
    """A folder, made the current one, with pictures a.png and b.png of different sizes, and nothing else."""
    for name, seed, size in zip(("a.png", "b.png"), (1, 2), SIZES, strict=True):
        draw(tmp_path / name, seed, size)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def predictions(folder: Path, bench, *options: str) -> tuple[np.ndarray, np.ndarray]:
    """Points and scores that `bench run` leaves for the pair as a dataset of its own."""
    row = {
        "source": "a.png",
        "target": "b.png",
        "category": "cat",
        "source_points": POINTS,
        "target_points": [[1, 1]] * len(POINTS),
    }
    write_list(folder, {"pairs": [row]})
    done = bench("run", "--datasets", f"folder={folder}", "--out", folder / "results", *options)
    assert done.status == 0, done.err
    (path,) = (folder / "results").glob("*/predictions.parquet")
    table = pq.read_table(path).to_pandas().sort_values("keypoint_id", key=lambda ids: ids.astype(int))
    return table[["x", "y"]].to_numpy(), table["score"].to_numpy()


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("hog", {}),
        ("hog", {"localizer": "window-softmax"}),
        ("position", {}),
        ("position", {"localizer": "kernel-softmax"}),
        ("dift", {"ensemble": 1, "category": "cat", "timestep": 101, "seed": 3}),
    ],
)
def test_predictions_are_those_of_a_run(pair, bench, method, options):
    given = {
        f"--{name}s" if name == "localizer" else f"--{name}": value
        for name, value in options.items()
        if name != "category"
    }
    points, scores = predictions(
        pair, bench, "--methods", method, *(str(word) for both in given.items() for word in both)
    )
    # Of hog and position there are no weights that could be of no use.
    is_small = method == "dift"
    with (
        pytest.warns(BenchWarning, match="the pictures of shapes alone")
        if is_small
        else contextlib.nullcontext()
    ):
        found = harness.match("a.png", "b.png", POINTS, method=method, **options)
    assert found.found.tolist() == points.tolist()
    assert found.score.astype(np.float32).tolist() == scores.astype(np.float32).tolist()
    assert found.points.tolist() == [list(point) for point in POINTS]
    assert (found.a_size, found.b_size) == SIZES
    assert callable(harness.match)  # and not a module that came in its place


@pytest.mark.parametrize(
    ("method", "localizer"), [("hog", "argmax"), ("position", "argmax"), ("hog", "argmax-original")]
)
def test_similarity_is_the_cosine_at_the_place_found(pair, method, localizer):
    """For what finds the most similar place it is the localizer's score."""
    found = harness.match("a.png", "b.png", POINTS, method=method, localizer=localizer)
    assert found.similarity == pytest.approx(found.score, abs=1e-4)
    assert len(found) == len(POINTS)


@pytest.mark.parametrize(
    ("localizer", "place"),
    [
        ("argmax", 11 / 3),
        ("kernel-softmax", 11 / 3),
        ("a plugin's", 11 / 3),
        ("a plugin's of patches", 4.5),
        ("a plugin's of pixels", 4.9),
        ("window-softmax", 4.5),
        ("argmax-original", 4.0),
    ],
)
def test_cosines_are_read_as_the_localizer_reads(localizer, place):
    """Each of 4 x 4 positions has a feature of its own; at (1, 1) nothing of the others is mixed in."""
    one = FeatureMap(torch.eye(16, dtype=torch.float32).view(16, 4, 4), Frame.unchanged(Size(12, 12)))
    points = torch.tensor([[place, place]], dtype=torch.float64)
    other = torch.tensor([[place + 3, place]], dtype=torch.float64)
    assert cosines(one, one, points, torch.cat([points, points]), SPECS[localizer]).tolist() == pytest.approx(
        [1, 1], abs=1e-5
    )
    beside = float(cosines(one, one, points, other, SPECS[localizer]))
    assert beside < (0.3 if SPECS[localizer].grid == "corner" else 1e-5)
    assert beside >= 0


def test_half_precision_and_many_places(monkeypatch):
    monkeypatch.setattr("harness.localizers.cosines._STEP", 3)
    data = torch.randn(5, 4, 4, generator=torch.Generator().manual_seed(0))
    one, whole = (
        FeatureMap(kind, Frame.unchanged(Size(12, 12))) for kind in (data.half(), data.half().float())
    )
    place = torch.tensor([[2.0, 3.0]], dtype=torch.float64)
    many = torch.rand(10, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 12
    alone = [float(cosines(whole, whole, place, some[None], SPECS["argmax"])) for some in many]
    assert cosines(one, one, place, many, SPECS["argmax"]).tolist() == pytest.approx(alone, abs=1e-6)
    with pytest.raises(RuntimeError):
        cosines(one, one, many[:2], many, SPECS["argmax"])


@pytest.mark.parametrize(
    "words",
    [
        ["a.png", "b.png", "--points", "12.25,9", "70,31.5", "--method", "hog"],
        ["a.png", "b.png", "--points", "12.25,9", "--points", "70,31.5", "--method", "hog"],
        ["--points", "12.25,9", "70,31.5", "a.png", "b.png", "--method=hog"],
        ["--method", "hog", "a.png", "--points=12.25,9", "70,31.5", "b.png"],
        ["--points", "12.25,9", "70,31.5", "--method", "hog", "--", "a.png", "b.png"],
    ],
)
def test_several_points_after_one_flag_or_several_flags(pair, bench, words):
    done = bench("match", *words)
    assert (done.status, done.warnings) == (0, [])
    found = harness.match("a.png", "b.png", POINTS[:2], method="hog")
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in done.out.splitlines()
        if line.startswith("|")
    ]
    assert rows[0] == ["point", "x in A (px)", "y in A (px)", "x in B (px)", "y in B (px)", "similarity"]
    wanted = zip(POINTS, found.found, found.similarity, strict=False)
    assert rows[2:] == [
        [str(i), *(f"{v:.1f}" for v in (*a, *b)), f"{s:.3f}"] for i, (a, b, s) in enumerate(wanted, start=1)
    ]
    assert "n = 2 points" in done.out
    assert "A: a.png, 90 x 60 px" in done.out
    assert sorted(path.name for path in pair.iterdir()) == ["a.png", "b.png"]  # nothing is drawn


def test_json_says_what_was_matched_with_what(pair, bench):
    words = [
        "--method",
        "dift",
        "--ensemble",
        "1",
        "--category",
        "cat",
        "--points",
        "12.25,9",
        "--dense",
        "--grid",
        "3",
        "--json",
    ]
    done = bench("match", "a.png", "b.png", *words)
    assert (done.status, done.warnings) == (0, [])
    content = json.loads(done.out)
    assert content["a"] == {"path": "a.png", "width": 90, "height": 60}
    assert content["b"] == {"path": "b.png", "width": 64, "height": 80}
    assert (content["method"], content["prompt"], content["category"]) == (
        "dift[ensemble=1]",
        "category",
        "cat",
    )
    assert (content["localizer"], content["params"]["ensemble"], content["picture"]) == (
        "argmax-original",
        1,
        None,
    )
    assert content["backbone"].startswith("tiny-stable-diffusion@")
    (point,) = content["points"]
    assert set(point) == {"a", "b", "similarity", "score"}
    assert point["a"] == [12.25, 9]
    assert [row["a"] for row in content["grid"]] == [
        [15, 15],
        [45, 15],
        [75, 15],
        [15, 45],
        [45, 45],
        [75, 45],
    ]


def test_the_picture_is_written_and_named(pair, bench):
    done = bench(
        "match",
        "a.png",
        "b.png",
        "--method",
        "position",
        "--points",
        "12,9",
        "--heatmap",
        "--dense",
        "-o",
        "match.png",
    )
    assert (done.status, done.warnings) == (0, [])
    assert done.out.splitlines()[-1] == "match.png"
    assert "grid: n = 176 points; mean similarity" in done.out
    with PIL.Image.open("match.png") as made:
        assert made.mode == "RGB"
        assert made.width > 3 * matching_picture.PANEL


def test_a_turned_picture_is_told_of(pair, bench):
    exif = PIL.Image.Exif()
    exif[274] = 6
    with PIL.Image.open("a.png") as image:
        image.save("turned.jpg", exif=exif)
    done = bench("match", "turned.jpg", "b.png", "--method", "position", "--points", "89,1")
    assert done.status == 0
    assert done.complaint.startswith("bench match: turned.jpg: its orientation tag is ignored")


HOG = ("--method", "hog")

ONE = ("--points", "12,9")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([*HOG, "--points", "91,9"], "point 91,9 lies outside a.png, which has 90 x 60 pixels"),
        ([*HOG, "--points", "12,9", "-5,10"], "point -5,10 lies outside a.png"),
        ([*HOG, "--points", "nan,9"], "point nan,9 is not a position in a.png"),
        ([*HOG, "--points", "inf,9"], "point inf,9 is not a position in a.png"),
        ([*HOG, "--points", "12,9", "13"], "'13' is not a point; a point is X,Y in pixels of A"),
        ([*HOG, "--points", "a,b"], "'a,b' is not a point"),
        ([*HOG, "--points", "1,2,3"], "'1,2,3' is not a point"),
        ([*HOG, "--points"], "requires an argument"),
        ([*HOG], "--points: give at least one point of A"),
        ([*ONE], "Missing option '--method'"),
        (["--method", "hogg", *ONE], "unknown method 'hogg'; did you mean hog?"),
        ([*HOG, *ONE, "--localizer", "argmin"], "unknown localizer 'argmin'; did you mean argmax"),
        (["--method", "dift", *ONE], "prompt 'category' needs a category: give --category NAME"),
        (
            ["--method", "sd4match-class", *ONE],
            "prompt 'sd4match-class' needs a category: give --category NAME",
        ),
        (["--method", "sd4match-class", *ONE, "--category", "unicorn"], "it has no prompt for unicorn"),
        ([*HOG, *ONE, "--prompt", "empty"], "--prompt empty: method hog takes no prompt"),
        (["--method", "dift", *ONE, "--prompt", "emty"], "unknown prompt 'emty'; did you mean empty?"),
        (
            [*HOG, *ONE, "--prompt-file", "a.png"],
            "--prompt-file hog: expected a method of this run with a learned prompt",
        ),
        (["--method", "sd4match-cpm", *ONE, "--prompt-file", "x.pt"], "x.pt: no such file or folder"),
        (["--method", "sd4match-cpm", *ONE, "--prompt-file", "a.png"], "a.png"),
        (
            ["--method", "sd4match-cpm", *ONE, "--prompt-file", "a.png", "--trained-on", "shapes"],
            "give one of them",
        ),
        (["--method", "sd4match-cpm", *ONE, "--trained-on", "spair-71k"], "--trained-on spair-71k"),
        ([*HOG, *ONE, "--timestep", "50"], "--timestep: none of hog has a parameter 'timestep'"),
        ([*HOG, *ONE, "--set", "cell=4,8"], "--set cell: bench match takes one value"),
        ([*HOG, *ONE, "--set", "cell=1..3"], "--set: bench match takes one value of each parameter"),
        ([*HOG, *ONE, "--set", "cell=x"], "--set cell: 'x' is not a whole number"),
        (["--method", "sd4match-cpm", *ONE, "--timestep", "-1"], "-1 is not in the range x>=0"),
        ([*HOG, *ONE, "--weights", "huge"], "--weights huge: expected tiny, paper or NAME=PATH"),
        ([*HOG, *ONE, "--device", "abacus"], "--device abacus"),
        ([*HOG, *ONE, "--precision", "fp8"], "'fp8' is not one of"),
        ([*HOG, *ONE, "--heatmap"], "--heatmap is drawn; give -o FILE"),
        (
            [*HOG, "--points", "1,2", "3,4", "--heatmap", "-o", "m.png"],
            "--heatmap shows the similarity map of one point; --points has 2",
        ),
        ([*HOG, "--dense"], "--dense is drawn, or printed with --json; give -o FILE"),
        ([*HOG, *ONE, "-o", "m.gif"], "m.gif: a sheet is written as"),
        ([*HOG, *ONE, "-o", "nowhere/m.png"], "nowhere is not a folder"),
    ],
)
def test_mistakes_are_one_line(pair, bench, words, complaint):
    done = bench("match", "a.png", "b.png", *words)
    assert (done.status, done.out) == (2, "")
    assert complaint in done.complaint
    assert not (pair / "m.png").exists()


def test_missing_and_broken_pictures(pair, bench):
    (pair / "text.jpg").write_text("no picture")
    (pair / "cut.png").write_bytes((pair / "a.png").read_bytes()[:2000])
    for name, complaint in {
        "none.jpg": "image none.jpg: no such file",
        ".": "no such file",
        "text.jpg": "decoded",
        "cut.png": "decoded",
    }.items():
        for words in ((name, "b.png"), ("a.png", name)):
            done = bench("match", *words, *HOG, *ONE)
            assert (done.status, done.out) == (2, "")
            assert complaint in done.complaint
            assert name in done.complaint


def test_a_localizer_that_raises_is_one_line(pair, bench, monkeypatch):
    def broken(self, similarity):
        raise ZeroDivisionError("no luck")

    monkeypatch.setattr("harness.localizers.on_grid.Argmax.positions", broken)
    done = bench("match", "a.png", "b.png", *HOG, *ONE)
    assert done.status == 2
    assert done.complaint == "bench: localizer argmax: ZeroDivisionError: no luck"


@pytest.mark.parametrize(
    ("points", "complaint"),
    [
        ([], r"points must be \(N, 2\) numbers.*at least one"),
        ([1, 2], r"got an array \(2,\)"),
        ([(1, 2, 3)], r"got an array \(1, 3\)"),
        ([("a", "b")], r"points must be \(N, 2\) numbers"),
        ([(1, 2), (3, np.nan)], "point 3,nan is not a position"),
        ([(1, 60.1)], "lies outside"),
    ],
)
def test_wrong_points(pair, points, complaint):
    with pytest.raises(UserError, match=complaint):
        harness.match("a.png", "b.png", points, method="position")


def test_importing_harness_stays_cheap():
    code = (
        "import sys, harness; assert 'match' in harness.__all__; "
        "print(sorted({'numpy', 'torch', 'PIL', 'click'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    with pytest.raises(AttributeError, match="no attribute 'mach'"):
        harness.mach  # noqa: B018


def test_a_missing_method_is_an_error_of_ours(pair):
    with pytest.raises(BenchError, match="unknown method"):
        harness.match(pair / "a.png", str(pair / "b.png"), POINTS, method="none of them")


def test_points_found_outside_b_are_told():
    found = Match(
        a=Path("a.png"),
        b=Path("b.png"),
        a_size=Size(20, 10),
        b_size=Size(30, 10),
        points=np.array([[1.0, 1], [2, 2], [3, 3]]),
        found=np.array([[0.0, 10], [30.1, 5], [4, -1]]),
        similarity=np.zeros(3),
        score=np.zeros(3),
        method="m",
        prompt="none",
        localizer="l",
        backbone="none",
    )
    assert found.inside.tolist() == [True, False, False]
    assert "2 of 3 points lie outside B" in _text(found, None, None)
    assert "outside" not in _text(replace(found, found=np.ones((3, 2))), None, None)
    assert _clamp(found).tolist() == [[0, 10], [30, 5], [4, 0]]
