"""Protocols that bring their own threshold: a number of pixels, or a function of the target."""

from __future__ import annotations

import json
import math
import shutil
import types

import numpy as np
import pyarrow.parquet as pq
import pytest
from support.photos import draw, make_photos, read_list, write_list
from support.results import the_record

import harness.cli
import harness.datasets.splits
from harness.errors import UserError
from harness.hookspecs import hookimpl
from harness.plugins.loading import load_plugins
from harness.specs import ProtocolSpec

ALPHAS = (0.05, 0.1, 0.3)
PIXELS = (4.0, 8.5, 90.0)

FED = (768, 768)
"""What `position` is fed."""


def diagonal(target):
    if target.box is None:
        return None
    x1, y1, x2, y2 = target.box
    return math.hypot(x2 - x1, y2 - y1)


def spacing(target):
    """Mean distance of a point from its nearest neighbour."""
    offsets = np.linalg.norm(target.points[:, None] - target.points[None], axis=2)
    np.fill_diagonal(offsets, np.inf)
    return float(offsets.min(axis=1).mean())


def width(target):
    return target.size[0]


LENGTHS = {
    "diagonal": (diagonal, "the diagonal of the target's box"),
    "spacing": (spacing, "the mean distance of a target's points from the nearest other"),
    "width": (width, "the target image's width"),
}


def protocols():
    specs = []
    for frame in ("original", "stretched", "padded"):
        side = 200 if frame == "padded" else None
        for name, (function, words) in LENGTHS.items():
            specs.append(
                ProtocolSpec(
                    name=f"{name}-{frame}", frame=frame, strict=False, side=side, alphas=list(ALPHAS),
                    threshold=function, length=words,
                )
            )  # fmt: skip
        specs.append(
            ProtocolSpec(
                name=f"pixels-{frame}", frame=frame, strict=True, side=side, alphas=PIXELS, threshold=1.0
            )
        )
    return [*specs, ProtocolSpec(name="by-image", frame="original", strict=False, threshold="image")]


def use(monkeypatch, *specs):
    """Makes `bench` in this process load a plugin that brings protocols."""
    module = types.ModuleType("ruler")
    module.bench_protocols = hookimpl(lambda: list(specs))

    def load(blocked=()):
        host = load_plugins(blocked, points=[])
        host.load("ruler", "bench-ruler", "1", lambda: module)
        return host

    monkeypatch.setattr(harness.cli, "load_plugins", load)


@pytest.fixture
def photos(tmp_path):
    """Three pictures of different shapes, two of whose six pairs have no box."""
    photos = make_photos(tmp_path / "photos", images=3)
    draw(photos / "photo1.png", 1, (90, 48))
    draw(photos / "photo2.png", 2, (64, 80))
    content = read_list(photos)
    for pair in content["pairs"][:2]:
        del pair["target_box"]
    write_list(photos, {**content, "threshold": "image"})
    return photos


def affine(frame, size):
    """(scale of x, of y, offset of x, of y), worked out anew."""
    w, h = size
    if frame == "original":
        return 1, 1, 0, 0
    if frame == "stretched":
        return FED[0] / w, FED[1] / h, 0, 0
    scale = 200 / max(size)
    return scale, scale, (200 - round(w * scale)) // 2, (200 - round(h * scale)) // 2


def expected(rows, pairs, length, frame):
    """Mean over pairs of the share of points within alpha times the length, in percent, for each alpha."""
    shares = []
    for pair_id in sorted({row["pair_id"] for row in rows}):
        mine = [row for row in rows if row["pair_id"] == pair_id]
        pair = pairs[pair_id]
        sx, sy, ox, oy = affine(frame, (mine[0]["target_width"], mine[0]["target_height"]))
        true = np.array([(row["true_x"] * sx + ox, row["true_y"] * sy + oy) for row in mine])
        predicted = np.array([(row["x"] * sx + ox, row["y"] * sy + oy) for row in mine])
        if length == "pixels":
            unit, alphas, within = 1.0, PIXELS, np.less
        elif length == "width":
            unit, alphas, within = mine[0]["target_width"] * sx, ALPHAS, np.less_equal
        elif length == "diagonal":
            if "target_box" not in pair:
                continue
            x1, y1, x2, y2 = pair["target_box"]
            unit, alphas, within = math.hypot((x2 - x1) * sx, (y2 - y1) * sy), ALPHAS, np.less_equal
        else:
            nearest = [
                min(math.dist(a, b) for k, b in enumerate(true.tolist()) if k != i)
                for i, a in enumerate(true.tolist())
            ]
            unit, alphas, within = sum(nearest) / len(nearest), ALPHAS, np.less_equal
        errors = np.linalg.norm(predicted - true, axis=1)
        shares.append([100 * within(errors, alpha * unit).mean() for alpha in alphas])
    return np.mean(shares, axis=0).tolist(), len(shares)


@pytest.fixture
def run(bench, photos, tmp_path, monkeypatch):
    """A run of `position` under protocols; its results folder."""

    def start(*specs, status=0, names=None):
        use(monkeypatch, *specs)
        out = tmp_path / "r"
        done = bench(
            "run", "--methods", "position", "--localizers", "soft-argmax", "--datasets", f"folder={photos}",
            "--protocols", ",".join(names or [spec.name for spec in specs]), "--out", out,
        )  # fmt: skip
        assert done.status == status, done.err
        return out, done

    return start


def test_numbers_are_those_of_an_oracle_with_and_without_the_dataset(
    run, bench, photos, tmp_path, monkeypatch
):
    out, done = run(*protocols(), status=1)
    record = the_record(out)
    rows = pq.read_table(next(out.glob("*/predictions.parquet"))).to_pylist()
    # Pairs are numbered where a list names none.
    pairs = dict(zip(sorted({row["pair_id"] for row in rows}), read_list(photos)["pairs"], strict=True))
    for row in rows:
        assert row["target_image"] and row["pair_id"] in pairs
    telling = 0
    for spec in protocols()[:-1]:
        length, frame = spec.name.split("-")
        numbers, count = expected(rows, pairs, length, frame)
        scores = [
            score
            for score in record["scores"]
            if (score["protocol"], score["averaging"], score["slice"]) == (spec.name, "image", "all")
        ]
        assert [score["pck"] for score in scores] == pytest.approx(numbers, abs=1e-9)
        assert {score["pairs"] for score in scores} == {count}
        telling += len({score["pck"] for score in scores}) > 1
    # Neither all nothing nor all right: an oracle that agrees says something.
    assert telling >= 9
    assert record["thresholds"]["diagonal-padded"] == "the diagonal of the target's box"
    assert record["thresholds"]["pixels-original"] == "1 pixel"
    assert record["thresholds"]["by-image"] == "image"
    # Two pairs have no box: they fail by name under these protocols, and nowhere else.
    failed = {failure["protocol"] for failure in record["failures"]}
    assert failed == {"diagonal-original", "diagonal-stretched", "diagonal-padded"}
    assert "2 pairs (the first: " in done.err
    assert "no length that alpha could multiply (the diagonal of the target's box)" in done.err
    shutil.rmtree(photos)
    monkeypatch.setattr(
        harness.datasets.splits, "read_split", lambda *arguments: pytest.fail("a dataset was read")
    )
    # 1 for the failed pairs, as the run before.
    again = bench("rescore", out, "--protocols", "pixels-original,spacing-padded")
    assert again.status in (0, 1), again.err
    kept = ("scores", "thresholds", "failures", "not_applicable")
    assert {key: the_record(out)[key] for key in kept} == {key: record[key] for key in kept}


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        (
            ProtocolSpec(name="mine", frame="original", strict=False, threshold=12.5),
            "Alpha multiplies 12.5 pixels.",
        ),
        (
            ProtocolSpec(
                name="mine", frame="original", strict=False, threshold=width, length="the image's width"
            ),
            "Alpha multiplies the image's width.",
        ),
        (
            ProtocolSpec(name="mine", frame="original", strict=False, threshold="points"),
            "Alpha multiplies the target's size (folder:photos: points).",
        ),
    ],
)
def test_tables_and_pages_say_what_alpha_multiplies(run, bench, tmp_path, spec, sentence):
    out, _ = run(spec)
    table = bench("leaderboard", out, "--protocol", "mine")
    assert sentence in table.out
    page = tmp_path / "page.html"
    assert bench("report", out, "--protocol", "mine", "-o", page).status == 0
    words = {"points": "the extent of the target's points"}.get(spec.threshold, sentence[17:-1])
    assert f"within alpha times {words}" in page.read_text().replace("&#x27;", "'").replace("&#39;", "'")


def test_the_user_may_still_choose_another_threshold(run, bench):
    spec = ProtocolSpec(name="mine", frame="original", strict=False, threshold=1.0)
    out, _ = run(spec, names=["mine", "mine[threshold=image]", "original[threshold=image]"])
    record = the_record(out)
    assert record["thresholds"] == {
        "mine": "1 pixel",
        "mine[threshold=image]": "image",
        "original[threshold=image]": "image",
    }
    numbers = {}
    for score in record["scores"]:
        key = (score["averaging"], score["slice"], score["alpha"])
        numbers.setdefault(score["protocol"], {})[key] = score["pck"]
    assert numbers["mine[threshold=image]"] == numbers["original[threshold=image]"] != numbers["mine"]


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        (lambda target: math.nan, "of plugin 'ruler': its threshold is nan on pair "),
        (lambda target: 0.0, "its threshold is 0 on pair "),
        (lambda target: -3, "its threshold is -3 on pair "),
        (lambda target: math.inf, "its threshold is inf on pair "),
        (lambda target: np.ones(2), "its threshold is array([1., 1.]) on pair "),
        (lambda target: True, "its threshold is True on pair "),
        (lambda target: "box", "its threshold is 'box' on pair "),
        (lambda target: target.radius, "its threshold failed on pair "),
        (lambda target: target.points.sort(), "ValueError: sort array is read-only (plugin 'ruler'"),
        (
            # Right in original pixels, and none in the square that the extractor was fed.
            lambda target: 10.0 if target.size[0] < 700 else -1.0,
            "its threshold is -1 on pair ",
        ),
    ],
)
def test_nonsense_is_told_before_the_work(run, tmp_path, function, problem):
    spec = ProtocolSpec(name="mine", frame="stretched", strict=False, threshold=function, length="a length")
    out, done = run(spec, status=2)
    assert problem in done.complaint
    assert "protocol 'mine'" in done.complaint
    assert not list(out.glob("*/predictions.parquet"))


def test_a_dataset_without_the_length_has_no_such_measure(run):
    spec = ProtocolSpec(
        name="mine", frame="original", strict=False, threshold=lambda target: None, length="the head's size"
    )
    _, done = run(spec, status=2)
    assert "not applicable: no target of folder:photos test has what alpha multiplies: the head's size" in (
        done.complaint
    )


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"threshold": math.nan}, "threshold is nan pixels; it must be positive and finite"),
        ({"threshold": 0}, "threshold is 0 pixels"),
        ({"threshold": -2.5}, "threshold is -2.5 pixels"),
        ({"threshold": True}, "unknown threshold True"),
        ({"threshold": "boxes"}, "unknown threshold 'boxes'; known: box, image, points, a number of pixels"),
        ({"threshold": width}, "say in `length` what it returns"),
        ({"threshold": width, "length": "two\nlines"}, "say in `length` what it returns"),
        ({"threshold": "box", "length": "the box"}, "`length` describes a threshold that is a function"),
    ],
)
def test_a_threshold_that_is_no_length_is_refused(fields, problem):
    with pytest.raises(UserError) as caught:
        ProtocolSpec(name="mine", frame="original", strict=False, **fields)
    assert str(caught.value).startswith("protocol 'mine': ")
    assert problem in str(caught.value)


def test_protocols_are_listed_with_their_own_threshold(bench, monkeypatch):
    use(monkeypatch, *protocols())
    listed = {spec["name"]: spec for spec in json.loads(bench("list", "protocols", "--json").out)}
    assert listed["pixels-padded"]["threshold"] == 1.0
    assert listed["diagonal-padded"]["length"] == "the diagonal of the target's box"
    assert listed["original"]["threshold"] is None
