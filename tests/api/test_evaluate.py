"""`harness.evaluate`: an object of the session is evaluated as a plugin would be."""

from __future__ import annotations

import json
import types
import warnings
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from support.extractors import small_map
from support.photos import make_photos

import harness
from harness.errors import BenchWarning, UserError
from harness.frames import Frame, Size
from harness.preprocess import stretched_batch, stretched_maps
from harness.specs import ExtractorSpec, FeatureMap

SIZE = (64, 64)


class MeanColours:
    """The example of docs/guides/extractor.md, smaller."""

    def __init__(self, context):
        self.device = context.device

    def extract(self, requests):
        pixels = stretched_batch(requests, SIZE).to(self.device)
        return stretched_maps(torch.nn.functional.avg_pool2d(pixels, 8), requests, SIZE, "half-pixel")


class Pictures:
    def extract(self, requests):
        return [small_map(request) for request in requests]


class Pairs:
    def extract_pairs(self, requests):
        return [(small_map(source), small_map(target)) for source, target in requests]


def tiny(image):
    return np.asarray(image.resize((8, 8)), dtype=np.float32).transpose(2, 0, 1)


@pytest.fixture
def evaluate(tmp_path, quiet):
    """`harness.evaluate` on four small photos, into a results folder of the test's own."""
    photos = make_photos(tmp_path / "photos")

    def call(extractor, **options):
        options = {"out": tmp_path / "results", **quiet, **options}
        return harness.evaluate(extractor, f"folder={photos}", **options)

    return call


def points_of(frame):
    (cell,) = frame.attrs["cells"]
    columns = ["pair_id", "keypoint_id", "x", "y", "score"]
    return pq.read_table(Path(cell) / "predictions.parquet", columns=columns)


def record_of(frame):
    (cell,) = frame.attrs["cells"]
    return json.loads((Path(cell) / "record.json").read_text())


def test_a_class_predicts_what_the_same_class_as_a_plugin_predicts(evaluate, bench, with_extractor, tmp_path):
    object_frame = evaluate(MeanColours, image_size=64, localizers="bilinear")
    with_extractor(lambda requests: MeanColours(types.SimpleNamespace(device="cpu")).extract(requests))
    options = ("--datasets", f"folder={tmp_path / 'photos'}", "--localizers", "bilinear", "--device", "cpu")
    assert bench("run", "--methods", "mine", *options, "--out", tmp_path / "plugin").status == 0
    (file,) = (tmp_path / "plugin").glob("*/predictions.parquet")
    plugin_points = pq.read_table(file, columns=points_of(object_frame).column_names)
    assert points_of(object_frame).equals(plugin_points)
    assert object_frame["method"].tolist() == ["mean-colours"]


def test_class_object_function_and_spec_are_one_extractor(evaluate):
    def function(image):
        small = np.asarray(image.resize((6, 6)), dtype=np.float32) / 255
        return torch.from_numpy(small.transpose(2, 0, 1))

    frames = [
        evaluate(Pictures, name="class"),
        evaluate(Pictures(), name="object"),
        evaluate(ExtractorSpec(name="spec", make=lambda context: Pictures()), name="named"),
        evaluate(function, grid="half-pixel", localizers="bilinear"),
        evaluate(lambda image: function(image)[None].numpy(), grid="half-pixel", localizers="bilinear"),
    ]
    assert [frame["method"][0] for frame in frames] == ["class", "object", "named", "function", "lambda"]
    points = [points_of(frame) for frame in frames]
    assert points[0].equals(points[1])
    assert points[0].equals(points[2])
    # Rounding differs with the order of a tensor in memory.
    np.testing.assert_allclose(points[3]["x"], points[4]["x"], atol=1e-3)


def test_rows_stand_in_the_leaderboard_of_all(evaluate, quiet, tmp_path):
    evaluate(Pictures())
    harness.run("position", f"folder={tmp_path / 'photos'}", out=tmp_path / "results", **quiet)
    frame = harness.leaderboard(tmp_path / "results")
    assert sorted(frame["method"]) == ["pictures", "position"]


def test_a_function_is_fed_pictures_of_the_size_that_is_given(evaluate):
    sizes = set()

    def features(image):
        sizes.add(image.size)
        return tiny(image)

    frame = evaluate(features, image_size=(32, 48))
    assert sizes == {(32, 48)}
    assert record_of(frame)["cell"]["fed"] == [32, 48]
    sizes.clear()
    frame = evaluate(features)
    assert sizes == {(60, 48)}
    assert record_of(frame)["cell"]["fed"] == [768, 768]


def test_a_pair_extractor_is_known_by_its_method(evaluate):
    assert points_of(evaluate(Pairs())).num_rows


def test_a_prompt_reaches_the_requests(evaluate):
    words = set()

    class Prompted(Pictures):
        def extract(self, requests):
            words.update(request.prompt for request in requests)
            return super().extract(requests)

    frame = evaluate(Prompted(), prompt="category")
    assert frame["prompt"].tolist() == ["category"]
    assert all(isinstance(word, str) for word in words)
    assert any(words)


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (np.zeros((3, 4), dtype=np.float32), r"torch.float32 of shape \(3, 4\)"),
        (np.zeros((3, 4, 4), dtype=np.uint8), "torch.uint8 of shape"),
        (np.full((3, 4, 4), np.nan, dtype=np.float32), "NaN or infinite"),
        (torch.zeros(2, 3, 4, 4), r"of shape \(2, 3, 4, 4\)"),
        ([[[0.0]]], "the extractor returned list"),
        (None, "the extractor returned NoneType"),
    ],
)
def test_what_is_no_map_is_told_as_of_a_plugin(evaluate, result, message):
    with pytest.warns(BenchWarning, match=message):
        frame = evaluate(lambda image: result)
    assert "failed" in frame["note"][0]
    assert record_of(frame)["status"] == "failed"


def test_an_error_is_told_with_its_line(evaluate):
    def features(image):
        return {}["layer4"]

    with pytest.warns(
        BenchWarning, match=r"KeyError: 'layer4' \(plugin 'python-session', test_evaluate.py:\d+\)"
    ):
        evaluate(features)


@pytest.mark.parametrize(
    ("extractor", "options", "message"),
    [
        ("hog", {}, r"extractor: 'hog' is a text; harness.run\('hog'\) runs a method by its name"),
        (3, {}, "extractor: int has neither extract nor extract_pairs"),
        (Frame, {}, "extractor: Frame has neither extract nor extract_pairs"),
        (torch.nn.Conv2d(3, 4, 2), {}, r"extractor: Conv2d is a network.*StretchedExtractor\(network"),
        (tiny, {"name": "position"}, "name: a method 'position' is installed; give another one"),
        (tiny, {"name": "a,b"}, "extractor: has 'a,b': no command line can say a name with ','"),
        (tiny, {"image_size": 0}, "image_size=0: expected"),
        (tiny, {"image_size": (3, 4, 5)}, r"image_size=\(3, 4, 5\): expected"),
        (tiny, {"scope": "pair"}, "scope: a function is given a picture and nothing else; leave it out"),
        (tiny, {"prompt": "empty"}, "prompt: a function is given a picture and nothing else; leave it out"),
        (Pictures(), {"grid": "corner"}, "grid: the feature maps of an object bring their own; leave it out"),
        (Pictures(), {"prompt": "emty"}, "unknown prompt 'emty'; did you mean empty"),
        (
            ExtractorSpec(name="s", make=MeanColours),
            {"image_size": 3},
            "image_size: an ExtractorSpec says that",
        ),
        (tiny, {"params": {"layer": 3}}, "--set layer: none of tiny has a parameter 'layer'"),
        (tiny, {"localizers": "argmx"}, "unknown localizer 'argmx'; did you mean argmax"),
    ],
)
def test_a_mistake_is_told_in_one_line(evaluate, extractor, options, message):
    with pytest.raises(UserError, match=message) as caught:
        evaluate(extractor, **options)
    assert "\n" not in str(caught.value)


class Shifting:
    """What no hash can see: a map that follows from a counter outside."""

    shift = 0

    def extract(self, requests):
        maps = []
        for request in requests:
            data = np.roll(tiny(request.image), STATE.shift, axis=2)
            maps.append(
                FeatureMap(torch.from_numpy(data.copy()), Frame.stretched(request.size, Size(64, 64)))
            )
        return maps


class _State:
    __slots__ = ("shift",)

    def __reduce__(self):
        raise TypeError("cannot be read")


STATE = _State()


def test_an_object_is_computed_anew_whatever_its_identity(evaluate):
    STATE.shift = 0
    before = evaluate(Shifting())
    first = points_of(before)
    STATE.shift = 3
    after = evaluate(Shifting())
    assert before.attrs["cells"] == after.attrs["cells"]
    assert not first.equals(points_of(after))


def test_what_an_interrupted_call_left_is_not_used(evaluate):
    STATE.shift = 0
    whole = points_of(evaluate(Shifting()))
    calls = []

    class Interrupted(Exception):
        pass

    def stop(*_):
        calls.append(0)
        raise KeyboardInterrupt

    STATE.shift = 3
    with pytest.MonkeyPatch.context() as patch:
        # After the first shard is on disk.
        patch.setattr("harness.running.cell_run._gather_predictions", stop)
        with pytest.raises(KeyboardInterrupt):
            evaluate(Shifting())
    STATE.shift = 0
    frame = evaluate(Shifting())
    (cell,) = frame.attrs["cells"]
    assert calls
    assert points_of(frame).equals(whole)
    assert sorted(path.name for path in Path(cell).iterdir()) == ["predictions.parquet", "record.json"]


def test_a_changed_object_has_a_cell_of_its_own(evaluate):
    def with_size(size):
        return lambda image: np.asarray(image.resize((size, size)), dtype=np.float32).transpose(2, 0, 1)

    cells = [evaluate(with_size(size), name="mine").attrs["cells"] for size in (6, 8, 6)]
    assert cells[0] == cells[2]
    assert cells[0] != cells[1]


def test_the_record_says_what_it_is_of(evaluate):
    record = record_of(evaluate(tiny))
    assert record["cell"]["notes"].startswith("An object of a Python session")
    assert record["provenance"]["plugins"]["extractor"].startswith("python-session (an object ")


def test_a_warning_that_is_made_an_error_fails_no_cell(evaluate, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error", BenchWarning)
        with pytest.raises(BenchWarning, match="ZeroDivisionError"):
            evaluate(lambda image: 1 / 0)
    (record,) = (tmp_path / "results").glob("*/record.json")
    assert "ZeroDivisionError" in json.loads(record.read_text())["error"]["message"]
