"""Counts of a cell add up after any sequence of runs, and its failures stand until they are cured."""

from __future__ import annotations

import random

import PIL.Image
import pytest
from support.extractors import small_map
from support.photos import make_photos
from support.results import the_record

from harness.datasets.selection import predictable_pairs
from harness.datasets.splits import read_split
from harness.errors import ExtractionError
from harness.plugins.loading import load_plugins
from harness.specs import LocalizerSpec, Located

NAMES = ("argmax", "bilinear", "weak")


@pytest.fixture
def folder(tmp_path):
    return make_photos(tmp_path / "photos", images=3)


@pytest.fixture
def bad(with_extractor, folder):
    """Which picture's features, and which localizer, fail at the moment."""
    now = {"picture": None, "localizer": False}
    corners = []
    for number in range(3):
        with PIL.Image.open(folder / f"photo{number}.png") as picture:
            corners.append(picture.convert("RGB").getpixel((0, 0)))
    assert len(set(corners)) == 3

    def extract(requests):
        for request in requests:
            picture = corners.index(request.image.getpixel((0, 0)))
            if picture == now["picture"]:
                raise ExtractionError("no features today")
        return [small_map(request) for request in requests]

    def weak(source, target, points):
        if now["localizer"]:
            raise ValueError("no points today")
        return Located(points.clone(), points[:, 0] * 0)

    with_extractor(extract, localizers=[LocalizerSpec(name="weak", make=lambda: weak)])
    return now


def check(record: dict, index, asked: dict[str, set[str]]) -> None:
    """Every pair that a localizer was asked for has a prediction or failed by name, and nothing else has."""
    failed: dict[str, set[str]] = {name: set() for name in asked}
    for failure in record["failures"]:
        for name in [failure["localizer"]] if failure["localizer"] else failure["localizers"]:
            failed[name].add(failure["pair_id"])
    for name, pairs in asked.items():
        info = record["localizers"].get(name, {"pairs": 0, "failed": 0})
        assert info["failed"] == len(failed[name]), name
        assert failed[name] <= pairs
        assert info["pairs"] + info["failed"] == len(pairs), name
        scored = {
            score["pairs"]
            for score in record["scores"]
            if score["localizer"] == name and score["slice"] == "all"
        }
        assert scored == ({info["pairs"]} if info["pairs"] else set())
    assert (record["status"] == "partial") == any(failed.values())


@pytest.mark.parametrize("seed", range(4))
def test_counts_add_up_after_any_sequence_of_runs(bench, folder, bad, tmp_path, seed):
    chance = random.Random(seed)
    index = read_split(load_plugins(points=[]).datasets["folder"], folder, "test")
    asked: dict[str, set[str]] = {name: set() for name in NAMES}
    for _ in range(5):
        bad.update(picture=chance.choice([None, 0, 1]), localizer=chance.random() < 0.5)
        names = chance.sample(NAMES, chance.randint(1, 2))
        limit = chance.choice([None, None, 2, 4])
        more = ("--limit", limit) if limit else ()
        run = ("run", "--methods", "mine", "--localizers", ",".join(names), "--datasets", f"folder={folder}")
        done = bench(*run, *more, "--out", tmp_path / "r")
        assert done.status in (0, 1), done.err
        record = the_record(tmp_path / "r")
        if record["status"] == "failed":
            # Not a single prediction yet: nothing is recorded but the error.
            assert done.status == 1
            continue
        for name in names:
            asked[name] |= set(predictable_pairs(index, limit))
        check(record, index, asked)
        assert done.status == (record["status"] == "partial")
    bad.update(picture=None, localizer=False)
    every = ("--localizers", ",".join(NAMES), "--datasets", f"folder={folder}")
    assert bench("run", "--methods", "mine", *every, "--out", tmp_path / "r").status == 0
    record = the_record(tmp_path / "r")
    assert record["status"] == "ok"
    check(record, index, {name: set(index.pair_ids) for name in NAMES})
    assert bench("rescore", tmp_path / "r", "--datasets", f"folder={folder}").status == 0
    assert the_record(tmp_path / "r") == record


def test_a_failure_stands_until_its_own_localizer_predicts_the_pair(bench, folder, bad, tmp_path):
    def run(localizer):
        words = ("run", "--methods", "mine", "--localizers", localizer, "--datasets", f"folder={folder}")
        return bench(*words, "--out", tmp_path / "r")

    bad["picture"] = 0
    assert run("argmax").status == 1
    bad["picture"] = None
    assert run("bilinear").status == 1
    record = the_record(tmp_path / "r")
    assert record["status"] == "partial"
    assert {name: (info["pairs"], info["failed"]) for name, info in record["localizers"].items()} == {
        "argmax": (2, 4),
        "bilinear": (6, 0),
    }
    assert {tuple(failure["localizers"]) for failure in record["failures"]} == {("argmax",)}
    assert "limited" not in bench("leaderboard", tmp_path / "r").out
    assert run("argmax").status == 0
    assert the_record(tmp_path / "r")["failures"] == []
