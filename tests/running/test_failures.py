"""Cells with broken images, extractors, localizers or prompts."""

from __future__ import annotations

import errno
import json
import os
import types
from contextlib import contextmanager
from dataclasses import replace
from shutil import copytree

import pytest
import torch
from support.extractors import small_map
from support.paths import ROOT
from support.photos import draw, make_photos, read_list, write_list
from support.results import predictions, the_record

import harness.cli
import harness.files
from harness.features.extraction import is_flat
from harness.frames import Frame, Size
from harness.hookspecs import hookimpl
from harness.specs import ExtractorSpec, FeatureMap, LocalizerSpec, Located, PromptSpec


def test_a_truncated_picture_fails_its_pairs_alone(bench, photos, tmp_path):
    path = photos / "photo2.png"
    path.write_bytes(path.read_bytes()[:200])
    done = bench("run", "--methods", "hog", "--datasets", f"folder={photos}", "--out", tmp_path / "r")
    assert done.status == 1
    assert f"6 pairs failed: image {path}: cannot be decoded" in done.complaint
    record = the_record(tmp_path / "r")
    assert record["status"] == "partial"
    assert (record["localizers"]["argmax"]["pairs"], record["localizers"]["argmax"]["failed"]) == (6, 6)
    assert "6 pairs failed" in done.out


def test_a_missing_picture_fails_its_pairs_alone(bench, photos, tmp_path):
    (photos / "photo1.png").unlink()
    done = bench("run", "--methods", "position", "--datasets", f"folder={photos}", "--out", tmp_path / "r")
    assert done.status == 1
    assert "6 pairs failed" in done.complaint
    assert "photo1.png" in done.complaint


def test_a_picture_of_another_size_than_annotated(bench, tmp_path):
    copytree(
        ROOT / "tests" / "conformance" / "vectors" / "datasets" / "SPair-71k", tmp_path / "data" / "SPair-71k"
    )
    draw(tmp_path / "data" / "SPair-71k" / "JPEGImages" / "cat" / "2008_006582.jpg", 1, size=(33, 44))
    done = bench(
        "run",
        "--methods",
        "position",
        "--datasets",
        "spair-71k",
        "--data-root",
        tmp_path / "data",
        "--out",
        tmp_path / "r",
    )
    assert done.status == 1
    assert "cat-2008_006582: has 33 x 44 pixels, its annotation says" in done.err


def test_an_extractor_that_raises_on_one_picture(bench, photos, tmp_path, with_extractor, whole_batches):
    bad = []

    def extract(requests):
        bad.append(len(requests))
        if any(request.image.getpixel((0, 0)) == corner for request in requests):
            raise RuntimeError("cannot look at this\nsecond line")
        return [small_map(request) for request in requests]

    import PIL.Image

    corner = PIL.Image.open(photos / "photo3.png").convert("RGB").getpixel((0, 0))
    with_extractor(extract)
    done = bench(
        "run", "--methods", "mine,position", "--datasets", f"folder={photos}", "--out", tmp_path / "r"
    )
    assert done.status == 1
    assert (
        "6 pairs failed: extractor failed on blob-photo3.png: RuntimeError: cannot look at this"
        in done.complaint
    )
    by_method = {
        json.loads(path.read_text())["cell"]["method"]: json.loads(path.read_text())
        for path in (tmp_path / "r").glob("*/record.json")
    }
    assert by_method["mine"]["localizers"]["argmax"]["pairs"] == 6
    assert by_method["position"]["status"] == "ok"
    assert bad == [4, 1, 1, 1, 1]


@pytest.mark.parametrize(
    ("change", "lines"),
    [
        (lambda data: data, 0),
        (lambda data: data[:, :1, :1].expand_as(data), 1),
        # The same first and last cell alone do not make a flat one.
        (lambda data: torch.cat([data[:, :-1], data[:, :1].flip(2)], 1), 0),
        # Of one cell there is nothing to tell.
        (lambda data: data[:, :1, :1], 0),
    ],
)
def test_features_that_are_the_same_everywhere_are_told_once(
    bench, photos, tmp_path, with_extractor, caplog, change, lines
):
    """Such as those of a head whose weights are all zero: each of its points is found, in the first cell."""

    def extract(requests):
        return [replace(made, data=change(made.data).clone()) for made in map(small_map, requests)]

    with_extractor(extract)
    done = bench("run", "--methods", "mine", "--datasets", f"folder={photos}", "--out", tmp_path / "r")
    assert done.status == 0
    assert caplog.text.count("the extractor found the same features in every cell") == lines


def test_flat_features_that_a_matcher_reads_with_others_are_not_told():
    data = torch.ones(3, 4, 5)
    frame = Frame.stretched(Size(10, 8), Size(10, 8))
    assert is_flat(FeatureMap(data, frame))
    assert not is_flat(FeatureMap(data, frame, levels=(torch.rand(2, 2),)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m, r: m.data, "returned a Tensor, expected a FeatureMap"),
        (
            lambda m, r: FeatureMap(m.data[None], m.frame),
            "the extractor returned torch.float32 of shape (1, 3, 6, 6)",
        ),
        (lambda m, r: FeatureMap((m.data * 255).int(), m.frame), "floating-point"),
        (lambda m, r: FeatureMap(m.data * float("nan"), m.frame), "NaN or infinite"),
        (
            lambda m, r: FeatureMap(m.data, Frame.stretched(Size(7, 7), Size(48, 48))),
            "image of (7, 7) pixels, the image has (60, 48)",
        ),
    ],
)
def test_what_is_no_feature_map_is_refused(bench, photos, tmp_path, with_extractor, change, message):
    with_extractor(lambda requests: [change(small_map(request), request) for request in requests])
    done = bench("run", "--methods", "mine", "--datasets", f"folder={photos}", "--out", tmp_path / "r")
    assert done.status == 1
    assert message in done.complaint
    assert "all 12 pairs failed" in done.complaint


def test_too_few_maps(bench, photos, tmp_path, with_extractor):
    with_extractor(lambda requests: [])
    done = bench("run", "--methods", "mine", "--datasets", f"folder={photos}", "--out", tmp_path / "r")
    assert "returned 0 feature maps for 1 images" in done.complaint


def test_channels_that_differ_between_images(bench, photos, tmp_path, with_extractor):
    with_extractor(
        lambda requests: [small_map(r, channels=2 + (r.image.getpixel((0, 0))[0] % 2)) for r in requests]
    )
    done = bench("run", "--methods", "mine", "--datasets", f"folder={photos}", "--out", tmp_path / "r")
    assert done.status == 1
    assert "channels and the target map" in done.err


def test_a_localizer_that_returns_nan_fails_its_own_row(bench, photos, tmp_path, with_extractor):
    def locate(source, target, points):
        return Located(points * float("nan"), torch.ones(len(points)))

    with_extractor(localizers=[LocalizerSpec(name="lost", make=lambda: locate)])
    done = bench(
        "run",
        "--methods",
        "mine",
        "--localizers",
        "lost,argmax",
        "--datasets",
        f"folder={photos}",
        "--out",
        tmp_path / "r",
    )
    assert done.status == 1
    assert "12 pairs failed: localizer lost: a prediction is NaN or infinite" in done.complaint
    assert done.complaint.endswith(" (the first: pair 000001)")
    assert the_record(tmp_path / "r")["localizers"]["argmax"] | {"options": 0} == {
        "options": 0,
        "reads_annotations": False,
        "shards": [],
        "pairs": 12,
        "keypoints": 60,
        "failed": 0,
    }


def test_an_extractor_that_cannot_be_made_fails_its_cell_alone(bench, photos, tmp_path, with_extractor):
    with_extractor()
    host = harness.cli.load_plugins()
    spec = ExtractorSpec(name="unmakeable", make=lambda context: 1 / 0)
    host.load("bad", "bad", "1", lambda: _module(bench_extractors=[spec]))
    with _loading(host):
        done = bench(
            "run", "--methods", "unmakeable,mine", "--datasets", f"folder={photos}", "--out", tmp_path / "r"
        )
    assert done.status == 1
    assert "failed: ZeroDivisionError: division by zero" in done.complaint
    records = [json.loads(path.read_text()) for path in sorted((tmp_path / "r").glob("*/record.json"))]
    assert sorted(record["status"] for record in records) == ["failed", "ok"]
    (failed,) = (record for record in records if record["status"] == "failed")
    assert "ZeroDivisionError" in failed["error"]["traceback"]


def test_points_that_are_not_there_and_pairs_without_any(bench, photos, tmp_path):
    content = read_list(photos)
    content["pairs"][0]["source_points"] = [None] * 5
    content["pairs"][1]["target_points"][2] = None
    content["pairs"][2]["source_points"][0][0] = float("nan")
    write_list(photos, content)
    done = bench("run", "--methods", "position", "--datasets", f"folder={photos}", "--out", tmp_path / "r")
    assert done.status == 0
    assert (
        "points are NaN or missing and not counted; 1 pair is without a valid point and left out"
        in done.complaint
    )
    record = the_record(tmp_path / "r")
    assert record["counts"] == {
        "pairs": 12,
        "excluded": 1,
        "absent_points": 7,
        "limit": None,
        "shard": None,
        "official": None,
        "categories": 1,
    }
    assert record["localizers"]["bilinear"]["keypoints"] == 11 * 5 - 2


def test_no_pair_with_a_valid_point(bench, photos, tmp_path):
    content = read_list(photos)
    for pair in content["pairs"]:
        pair["target_points"] = [None] * 5
    write_list(photos, content)
    done = bench("run", "--methods", "position", "--datasets", f"folder={photos}", "--out", tmp_path / "r")
    assert done.status == 1
    assert "none of its 12 pairs has a valid point" in done.err


def test_a_full_disk_keeps_what_was_stored(bench, tmp_path, monkeypatch):
    photos = make_photos(tmp_path / "photos", images=8)  # 56 pairs: two shards
    written = []
    fsync = os.fsync

    def full(handle):
        written.append(handle)
        if (
            len(written) == 4
        ):  # the check of the folder takes two, the first shard its own one and its folder's
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(handle)

    run = ("run", "--methods", "position", "--datasets", f"folder={photos}", "--out", tmp_path / "r")
    monkeypatch.setattr(harness.files.os, "fsync", full)
    done = bench(*run)
    assert done.status == 1
    assert "No space left on device" in done.complaint
    monkeypatch.setattr(harness.files.os, "fsync", fsync)
    assert bench(*run).status == 0
    whole = bench(*run[:-1], tmp_path / "whole")
    assert whole.status == 0
    assert predictions(tmp_path / "r") == predictions(tmp_path / "whole")


def test_features_of_pairs_depend_on_both_images(bench, photos, tmp_path, with_extractor, whole_batches):
    seen = []

    def extract_pairs(requests):
        seen.append([(a.identity, b.identity) for a, b in requests])
        return [(small_map(a), small_map(b)) for a, b in requests]

    with_extractor(extract_pairs, scope="pair")
    run = ("run", "--methods", "mine", "--datasets", f"folder={photos}", "--batch-size", 5)
    assert bench(*run, "--out", tmp_path / "r").status == 0
    assert [len(batch) for batch in seen] == [5, 5, 2]
    assert len({pair for batch in seen for pair in batch}) == 12


@contextmanager
def _loading(host):
    loader = harness.cli.load_plugins
    harness.cli.load_plugins = lambda blocked=(): host
    try:
        yield
    finally:
        harness.cli.load_plugins = loader


def _module(**hooks):
    module = types.ModuleType("m")
    for hook, records in hooks.items():
        setattr(module, hook, hookimpl(_returning(records)))
    return module


def _returning(records):
    return lambda: records


def test_a_prompt_made_from_an_image_is_made_for_each_image_of_a_pair(
    bench, photos, tmp_path, with_extractor, monkeypatch
):
    """Also where the extractor looks at both: source and target have a prompt each."""
    asked, given = [], []

    def extract_pairs(requests):
        given.extend((source.prompt, target.prompt) for source, target in requests)
        return [(small_map(source), small_map(target)) for source, target in requests]

    def prompt(category, images):
        asked.append(len(images))
        return images[0].identity

    with_extractor(extract_pairs, scope="pair", prompt_kinds=frozenset({"smell"}))
    spec = PromptSpec(name="nose", kind="smell", scope="image", make=lambda context: prompt)
    load = harness.cli.load_plugins

    def with_prompt(blocked=()):
        host = load(blocked)
        module = types.ModuleType("nose")
        module.bench_prompts = hookimpl(lambda: [spec])
        host.load("nose", "nose", "1", lambda: module)
        return host

    monkeypatch.setattr(harness.cli, "load_plugins", with_prompt)
    assert (
        bench(
            "run",
            "--methods",
            "mine",
            "--prompts",
            "nose",
            "--datasets",
            f"folder={photos}",
            "--out",
            tmp_path / "r",
        ).status
        == 0
    )
    assert set(asked) == {1}
    assert len(given) == 12
    assert all(source != target for source, target in given)
