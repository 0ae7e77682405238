"""`harness.testing`: what `bench doctor` checks, in the tests of plugins."""

from __future__ import annotations

import json
import math
import re
import types

import PIL.Image
import pytest
import torch

from harness.datasets.images import ImageFile
from harness.errors import UserError
from harness.frames import Size
from harness.hookspecs import hookimpl
from harness.preprocess import StretchedExtractor
from harness.specs import (
    DatasetSpec,
    ExtractorSpec,
    ImagePair,
    LocalizerSpec,
    Located,
    MethodSpec,
    PromptSpec,
    ProtocolSpec,
    WeightSource,
)
from harness.testing import (
    check_dataset,
    check_extractor,
    check_localizer,
    check_method,
    check_plugin,
    check_prompt,
    check_protocol,
)

SIZE = (64, 48)


def colours(pixels):
    return torch.nn.functional.avg_pool2d(pixels, 4)


def make(context):
    return StretchedExtractor(colours, SIZE, "half-pixel", context.device)


EXTRACTOR = ExtractorSpec(name="mine", make=make, image_size=SIZE)


def failures(check, *arguments):
    with pytest.raises(AssertionError) as caught:
        check(*arguments)
    return str(caught.value)


def results(found):
    return {finding.check: finding.result for finding in found}


def test_an_extractor_that_keeps_the_contract():
    found = results(check_extractor(EXTRACTOR))
    assert "failed" not in found.values()
    assert found["features are the same whether `prepare` ran ahead or not"] == "ok"


def test_what_an_extractor_does_wrong_is_told():
    wrong = ExtractorSpec(name="mine", make=make, image_size=(64, 64))
    text = failures(check_extractor, wrong)
    assert text == (
        "method mine: 1 check failed\n"
        "✗ the frame is the declared image size: frame of 64 x 48, image_size says 64 x 64"
    )


def test_an_error_of_an_extractor_comes_with_its_traceback():
    text = failures(check_extractor, ExtractorSpec(name="mine", make=lambda context: context.nothing))
    assert "✗ the extractor can be made: AttributeError: 'MakeContext' object has no attribute" in text
    assert re.search(r"File .*test_testing.py", text)


def test_weights_stand_beside_an_extractor(tmp_path):
    file = tmp_path / "weights.bin"
    file.write_bytes(b"0")
    spec = ExtractorSpec(name="mine", make=make, image_size=SIZE, weights=("own",))
    assert "unknown weight source 'own'" in failures(check_extractor, spec)
    check_extractor(spec, WeightSource(name="own", locate=lambda: file))
    remote = WeightSource(name="own", mirrors=("nobody/nothing",), files=("*.bin",))
    assert "weights own" in failures(check_extractor, spec, remote)
    check_extractor(spec, remote, weights={"own": tmp_path})


def test_a_method_is_checked_by_name():
    assert results(check_method("position"))["the extractor can be made"] == "ok"
    assert "unknown method 'positionn'; did you mean position?" in failures(check_method, "positionn")


class Nearest:
    def __call__(self, source, target, points):
        return Located(points.clone(), torch.ones(len(points)))


def test_a_localizer():
    found = check_localizer(LocalizerSpec(name="here", make=Nearest))
    assert results(found)["predictions are finite, one for each query"] == "ok"


@pytest.mark.parametrize(
    ("located", "problem"),
    [
        (lambda points: points, "returned a Tensor; return Located(points, score)"),
        (lambda points: Located(points[:3], torch.ones(25)), "points of 25 queries are torch.float64 of"),
        (lambda points: Located(points, torch.ones(25, 1)), "score of 25 queries are torch.float32 of"),
        (lambda points: Located(points / 0, torch.ones(25)), "points has NaN or infinite values"),
        (lambda points: Located(points + torch.rand(1), torch.ones(25)), "located in two places"),
    ],
)
def test_what_a_localizer_does_wrong_is_told(located, problem):
    spec = LocalizerSpec(name="wrong", make=lambda: lambda source, target, points: located(points))
    assert problem in failures(check_localizer, spec)


def test_a_prompt():
    spec = PromptSpec(name="mine", kind="text", scope="category", make=lambda context: lambda c, images: c)
    assert results(check_prompt(spec))["an extractor takes prompts of its kind"] == "ok"


@pytest.mark.parametrize(
    ("kind", "value", "problem"),
    [
        ("text", lambda: 3, "kind 'text' is a str, and the value for aeroplane is int"),
        ("text", lambda: None, "returned None for aeroplane"),
        ("vector", lambda: torch.rand(3), "two calls gave different values"),
    ],
)
def test_what_a_prompt_does_wrong_is_told(kind, value, problem):
    spec = PromptSpec(name="mine", kind=kind, make=lambda context: lambda category, images: value())
    assert problem in failures(check_prompt, spec)


def test_a_prompt_that_nobody_takes_is_no_fault():
    spec = PromptSpec(name="mine", kind="vector", make=lambda context: lambda category, images: [1.0])
    assert results(check_prompt(spec))["an extractor takes prompts of its kind"] == "warned"


def protocol(**fields):
    return ProtocolSpec(**{"name": "mine", "frame": "original", "strict": True, **fields})


@pytest.mark.parametrize(
    ("fields", "detail"),
    [
        ({}, "each dataset's own"),
        ({"threshold": "image"}, "image"),
        ({"threshold": 8}, "8 pixels"),
        (
            {"threshold": lambda target: target.size[0], "length": "the image's width"},
            "the image's width: from 96 to 128 pixels on 600 pairs of shapes",
        ),
        ({"threshold": lambda target: None, "length": "its head"}, "no pair of shapes has its head"),
    ],
)
def test_a_protocol(fields, detail):
    found = check_protocol(protocol(**fields))
    assert detail in {finding.detail for finding in found}


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"threshold": lambda target: -1.0, "length": "a length"}, "its threshold is -1 on pair "),
        ({"threshold": lambda target: target.head, "length": "a head"}, "has no attribute 'head'"),
        ({"alphas": (0.1, math.nan)}, "alpha nan is not from"),
        ({"alphas": ()}, "it has no alpha"),
        ({"clamp": 60.0}, "PCK@0.05 of the true points themselves is "),
    ],
)
def test_what_a_protocol_does_wrong_is_told(fields, problem):
    assert problem in failures(check_protocol, protocol(**fields))


class Pairs:
    """One pair of two pictures in a folder."""

    opened = 0

    def __init__(self, folder, split):
        Pairs.opened += 1
        self.folder, self.points = folder, json.loads((folder / "points.json").read_text())
        self.pair_ids = ("one",)

    def __len__(self):
        return 1

    def __getitem__(self, index):
        import numpy as np

        images = [ImageFile(name, self.folder / f"{name}.png") for name in ("a", "b")]
        points = np.array(self.points, dtype=float)
        return ImagePair(
            "one", *images, Size(40, 30), Size(40, 30), "cat", points, points, ("left", "right"),
            target_box=(1, 1, 30, 29),
        )  # fmt: skip


def dataset(**fields):
    return DatasetSpec(name="mine", open=Pairs, **fields)


@pytest.fixture
def folder(tmp_path):
    for name in ("a", "b"):
        PIL.Image.new("RGB", (40, 30), (len(name), 0, ord(name))).save(tmp_path / f"{name}.png")
    (tmp_path / "points.json").write_text("[[3, 4], [20, 25]]")
    return tmp_path


def test_a_dataset(folder):
    found = check_dataset(dataset(), folder)
    assert {finding.detail for finding in found} >= {"1 pair, 2 images, 2 keypoints"}
    assert "failed" not in results(found).values()


def test_what_a_dataset_does_wrong_is_told(folder):
    assert "2 pairs" not in failures(check_dataset, dataset(counts={"test": {"pairs": 2}}), folder)
    (folder / "a.png").write_bytes(b"no picture")
    assert "a.png" in failures(check_dataset, dataset(), folder)


def test_a_dataset_that_is_not_there_is_told_once(tmp_path):
    def absent(folder, split):
        raise UserError(f"{folder} is not there; fetch it")

    text = failures(check_dataset, DatasetSpec(name="mine", open=absent), tmp_path)
    assert text.splitlines()[0].endswith(": 1 check failed")
    assert "is not there; fetch it" in text


def test_a_dataset_that_differs_each_time(folder):
    class Drifting(Pairs):
        def __init__(self, folder, split):
            super().__init__(folder, split)
            self.points[0][0] = Pairs.opened % 7

    text = failures(check_dataset, DatasetSpec(name="mine", open=Drifting), folder)
    assert "two readings gave different pairs" in text


def module_with(**hooks):
    module = types.ModuleType("no_such_module")
    for name, specs in hooks.items():
        setattr(module, name, hookimpl(lambda specs=specs: specs))
    return module


def test_a_plugin_is_checked_with_all_it_brings():
    plugin = module_with(
        bench_extractors=[EXTRACTOR],
        bench_methods=[MethodSpec(name="mine-too", extractor="mine")],
        bench_localizers=[LocalizerSpec(name="here", make=lambda: lambda source, target, points: 0)],
    )
    with pytest.raises(AssertionError, match="import no_such_module fails in a fresh process"):
        check_plugin(plugin)
    del plugin.__name__
    with pytest.raises(AssertionError, match=r"localizer here: [\s\S]*returned a int"):
        check_plugin(plugin)


def test_a_plugin_that_cannot_be_loaded_is_told():
    assert failures(check_plugin, module_with(bench_extractors=[EXTRACTOR, EXTRACTOR])).startswith(
        "plugin failed: bench_extractors returned 'mine' twice"
    )
    assert "implements no hook" in failures(check_plugin, types.ModuleType("empty"))
    unmarked = types.ModuleType("unmarked")
    unmarked.bench_extractors = lambda: []
    assert "is @hookimpl missing?" in failures(check_plugin, unmarked)
