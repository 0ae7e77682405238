"""`bench doctor`: passes what keeps the contract, and names what does not."""

from __future__ import annotations

import importlib
import os
import re
import sys

import pytest
import torch
from support.paths import ROOT

import harness
import harness.cli
from harness.builtin import bench_localizers
from harness.localizers.on_grid import Argmax
from harness.localizers.original_resolution import ArgmaxOriginal
from harness.plugins.loading import load_plugins
from harness.specs import LocalizerSpec, Located

PLUGIN = """
from harness import hookimpl
from harness.frames import Frame, Size
from harness.specs import ExtractorSpec, FeatureMap
{top}

class Mine:
    def __init__(self, context):
        {init}

    def extract(self, requests):
        import numpy as np
        import torch

        maps = []
        for r in requests:
            small = np.asarray(r.image.convert("RGB").resize((16, 16)), dtype=np.float32) / 255
            data = torch.from_numpy(small).permute(2, 0, 1)
            # Where a cell is, so that no two are alike.
            line = torch.linspace(0, 3, 16)
            data = torch.cat([data, line.expand(1, 16, 16), line[:, None].expand(1, 16, 16)])
            {change}
            maps.append(FeatureMap(data, {frame}))
        {after}
        return maps


@hookimpl
def bench_extractors():
    return [ExtractorSpec(name="mine", make=Mine, image_size=(48, 48){spec})]
"""
USUAL = {
    "top": "",
    "init": "self.count = 0",
    "change": "pass",
    "frame": "Frame.stretched(r.size, Size(48, 48))",
    "after": "pass",
    "spec": "",
}


@pytest.fixture
def doctor(bench, tmp_path, monkeypatch):
    """`bench doctor mine` of a plugin on disk that differs from the usual one; check -> (mark, detail)."""

    def examine(**changes):
        name = f"plugin_{tmp_path.name}"
        (tmp_path / f"{name}.py").write_text(PLUGIN.format(**USUAL | changes))
        monkeypatch.syspath_prepend(tmp_path)
        # The check of what its import costs runs in a process of its own.
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(ROOT)]))

        def load(blocked=()):
            host = load_plugins(blocked, points=[])
            host.load("mine", "mine", "1", lambda: importlib.import_module(name))
            return host

        monkeypatch.setattr(harness.cli, "load_plugins", load)
        done = bench("doctor", "mine")
        sys.modules.pop(name, None)
        assert done.warnings == []
        return done.status, findings(done.out)

    return examine


def findings(table):
    rows = [[cell.strip() for cell in line.strip("|").split("|", 2)] for line in table.splitlines()]
    return {check: (mark, detail) for mark, check, detail in rows[2:]}


CHEAP = "the plugin's import is cheap"
MADE = "the extractor can be made"
MAPS = "feature maps are (C, h, w), finite, of the request's image"
LAYOUT = "the feature map lies the right way round"
FRAME = "the frame is the declared image size"
SAME = "the same request gives the same features"
BATCH = "features do not depend on the batch"
SCOPE = "features do not depend on the category, as the scope says"
PREPARE = "features are the same whether `prepare` ran ahead or not"
GRID = "the localizer reads the grid that it declares"
MANY = "the localizer predicts the same for one pair and for many"
ITSELF = "an image matched with itself has PCK@0.1 of 100"
ALL = (CHEAP, MADE, MAPS, LAYOUT, FRAME, SAME, BATCH, SCOPE, PREPARE, GRID, MANY, ITSELF)

KEPT = dict.fromkeys(ALL, "✓")
"""Marks of a method that keeps the contract."""

WITHOUT_PREPARE = KEPT | {PREPARE: "–"}


@pytest.mark.parametrize("method", ["position", "hog"])
def test_the_baselines_keep_the_contract(bench, method):
    done = bench("doctor", method)
    assert (done.status, done.warnings) == (0, [])
    single = {"position": {MANY: "–", LAYOUT: "–"}}.get(method, {})
    assert {check: mark for check, (mark, _) in findings(done.out).items()} == WITHOUT_PREPARE | single


def test_a_plugin_that_keeps_the_contract(doctor):
    status, found = doctor()
    assert status == 0
    assert {check: mark for check, (mark, _) in found.items()} == WITHOUT_PREPARE
    assert found[MADE][1] == "Mine"
    assert found[MAPS][1] == "(5, 16, 16), float32"
    assert found[FRAME][1] == "48 x 48"
    assert found[SAME][1] == "equal"


BROKEN = {
    "four axes": (
        {"change": "data = data[None]"},
        {MAPS: "a feature map is a floating-point tensor of shape (channels, height, width)"},
    ),
    "whole numbers": (
        {"change": "data = (data * 255).int()"},
        {MAPS: "the extractor returned torch.int32 of shape (5, 16, 16)"},
    ),
    "NaN": ({"change": "data[0, 3, 3] = float('nan')"}, {MAPS: "the feature map has NaN or infinite values"}),
    "infinite": (
        {"change": "data[4, 0, 0] = float('inf')"},
        {MAPS: "the feature map has NaN or infinite values"},
    ),
    "another image": (
        {"frame": "Frame.stretched(Size(7, 9), Size(48, 48))"},
        {MAPS: "the feature map's frame is of an image of (7, 9) pixels"},
    ),
    "another frame": (
        {"frame": "Frame.stretched(r.size, Size(96, 64))"},
        {FRAME: "frame of 96 x 64, image_size says 48 x 48"},
    ),
    "random": (
        {"change": "data = data + 0.01 * torch.rand(16, 16)"},
        {SAME: "features differ by ", BATCH: "allowed 1e-03", SCOPE: "allowed 0e+00"},
    ),
    "counts its calls": ({"change": "self.count += 1; data = data + self.count"}, {SAME: "allowed 0e+00"}),
    "batch statistics": (
        {
            "after": "mean = torch.stack([m.data for m in maps]).mean(0); "
            "maps = [FeatureMap(m.data - mean, m.frame) for m in maps]"
        },
        {BATCH: "features differ by "},
    ),
    "looks at the category": ({"change": "data = data * len(r.category)"}, {SCOPE: "features differ by "}),
    "swapped": (
        {"change": "data = data.transpose(1, 2)"},
        {LAYOUT: "PCK@0.1 of 0; PCK would be 100 if h and w were swapped"},
    ),
    "mirrored": (
        {"change": "data = data.flip(2)"},
        {LAYOUT: "PCK would be 100 if it were mirrored left to right"},
    ),
    "upside down": (
        {"change": "data = data.flip(1)"},
        {LAYOUT: "PCK would be 100 if it were mirrored top to bottom"},
    ),
    "turned": ({"change": "data = data.flip(1, 2)"}, {LAYOUT: "if it were turned by 180 degrees"}),
    "channels last": (
        {"change": "data = data.permute(1, 2, 0)"},
        {MAPS: "(16, 16, 5): PCK would be 100 if it were turned from (h, w, C) to (C, h, w)"},
    ),
    "channels last of a cube": (
        {"change": "data = torch.cat([data] * 4)[:16].permute(1, 2, 0)"},
        {MAPS: "(16, 16, 16): PCK would be 100 if it were turned from (h, w, C) to (C, h, w)"},
    ),
    "reshaped": (
        {"change": "data = data.permute(1, 2, 0).reshape(5, 16, 16)"},
        {MAPS: "(5, 16, 16): PCK would be 100 if (h, w, C) were permuted to (C, h, w) and not reshaped"},
    ),
    "off by half a frame": (
        {"change": "data = data.roll(8, 2)"},
        {LAYOUT: "PCK would be 100 if it were moved by "},
    ),
    "a part of the image": (
        {"change": "data = data[:, :12, :12].repeat_interleave(2, 1).repeat_interleave(2, 2)"},
        {LAYOUT: "PCK would be 100 if its frame said that the image lies from"},
    ),
    "too few": ({"after": "maps = maps[1:]"}, {MAPS: "returned 3 feature maps for 4 images"}),
    "raises": (
        {"change": "raise KeyError('layer 4')"},
        {MAPS: "KeyError: 'layer 4'", ITSELF: "KeyError: 'layer 4'"},
    ),
    "two lines": ({"change": "raise ValueError('one\\ntwo')"}, {MAPS: "ValueError: one two"}),
    "heavy import": ({"top": "import torch"}, {CHEAP: "imports torch; import it in make"}),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_breaks_the_contract_is_named(doctor, name):
    changes, expected = BROKEN[name]
    status, found = doctor(**changes)
    assert status == 1
    assert tuple(found) == ALL
    for check, detail in expected.items():
        assert found[check][0] == "✗", check
        assert detail in found[check][1]


@pytest.mark.parametrize(
    "name", ["another frame", "looks at the category", "heavy import", "off by half a frame"]
)
def test_what_is_not_broken_is_not_blamed(doctor, name):
    changes, expected = BROKEN[name]
    _, found = doctor(**changes)
    assert {check for check, (mark, _) in found.items() if mark == "✗"} == set(expected)


@pytest.mark.parametrize(
    ("change", "marks"),
    [
        ("data = torch.ones(3, 16, 16)", {LAYOUT: "–", ITSELF: "!"}),
        ("data = data[:3] * 0 + data[:3].mean((1, 2), keepdim=True)", {LAYOUT: "!", ITSELF: "!"}),
        ("data = data[:3].round()", {LAYOUT: "✓", ITSELF: "!"}),
    ],
)
def test_weak_features_are_called_weak_and_not_wrong(doctor, change, marks):
    status, found = doctor(change=change)
    assert status == 0
    assert {check: mark for check, (mark, _) in found.items()} == WITHOUT_PREPARE | marks
    assert found[ITSELF][1].startswith("weak: PCK@0.1 of the image is ")


def test_nothing_can_be_said_of_an_extractor_that_cannot_be_made(doctor):
    status, found = doctor(init="raise OSError('no such layer')")
    assert status == 1
    assert found[MADE][0] == "✗"
    assert re.fullmatch(r"OSError: no such layer \(plugin 'mine', plugin_\w+\.py:9\)", found[MADE][1])
    assert {
        check for check, (mark, detail) in found.items() if (mark, detail) == ("–", "no extractor")
    } == set(ALL) - {CHEAP, MADE, GRID}


def test_an_extractor_without_the_method_of_its_scope(doctor):
    status, found = doctor(spec=", scope='pair'")
    assert status == 1
    assert found[MADE] == ("✗", "has scope 'pair' and no method 'extract_pairs'")


def test_an_extractor_may_look_at_the_category_where_it_says_so(doctor):
    status, found = doctor(change="data = data * len(r.category)", spec=", scope='category'")
    assert status == 0
    assert found[SCOPE] == ("–", "scope 'category'")


@pytest.mark.parametrize(
    ("change", "mark", "detail"),
    [
        ("self.prepare = halved", "✓", "equal"),
        ("self.prepare = lambda image: 0", "✗", "`prepare` cannot be pickled"),
        ("self.prepare = doubled", "✗", "features differ by "),
    ],
)
def test_prepare_must_give_what_the_extractor_makes_itself(doctor, change, mark, detail):
    status, found = doctor(
        top=PREPARE_FUNCTIONS,
        init=change,
        change="data = data * (halved(r.image) if r.prepared is None else r.prepared)",
    )
    assert status == (mark == "✗")
    assert found[PREPARE][0] == mark
    assert detail in found[PREPARE][1]


PREPARE_FUNCTIONS = """
def halved(image):
    import torch
    return torch.tensor(0.5)

def doubled(image):
    import torch
    return torch.tensor(2.0)
"""


@pytest.mark.parametrize("name", sorted(spec.name for spec in bench_localizers()))
def test_the_built_in_localizers_read_what_they_declare(bench, name):
    # One that reads matches alone, with made-up matches.
    done = bench("doctor", *(["flow"] if name == "flow" else ["hog", "--localizer", name]))
    found = findings(done.out)
    assert (done.status, done.warnings) == (0, [])
    # It lays cells out by its own rule, whatever a map declares.
    assert found[GRID][0] == ("–" if name == "argmax-corner" else "✓")
    assert found[MANY][0] == ("–" if name in ("argmax-original", "bilinear", "flow") else "✓")


class Patches(Argmax):
    """A localizer of a plugin that lays cells out as patches."""

    grid = "patch-centre"


class Pixels(Argmax):
    """A localizer of a plugin that reads whole pixels."""

    def __call__(self, source, target, points):
        return super().__call__(source, target, points.floor())

    def many(self, tasks):
        return [self(*task) for task in tasks]


class Together(Argmax):
    """A localizer of a plugin whose predictions depend on the rest of the batch."""

    def many(self, tasks):
        return [Located(result.points + len(tasks), result.score) for result in super().many(tasks)]


class Elsewhere(Argmax):
    """A localizer of a plugin whose batches give something else than its calls."""

    def many(self, tasks):
        return [Located(result.points + 1, result.score) for result in super().many(tasks)]


class Blind:
    """A localizer of a plugin that looks at no feature."""

    def __call__(self, source, target, points):
        return Located(points.clone(), torch.zeros(len(points)))


class Picky(Argmax):
    """A localizer of a plugin that takes features of three channels only."""

    def __call__(self, source, target, points):
        if source.data.shape[0] == 25:
            raise ValueError("25 channels")
        return super().__call__(source, target, points)


@pytest.mark.parametrize(
    ("made", "declared", "check", "mark", "detail"),
    [
        (Patches, {"grid": "patch-centre"}, GRID, "✓", "'mine': patch-centre, cell"),
        (
            Patches,
            {},
            GRID,
            "✗",
            "'mine' declares grid 'corner', but finds a peak where 'patch-centre' puts it",
        ),
        (Argmax, {"grid": "half-pixel"}, GRID, "✗", "but finds a peak where 'corner' puts it"),
        (
            Argmax,
            {"reads": "pixel"},
            GRID,
            "✗",
            "declares reads='pixel', but tells points within a pixel apart",
        ),
        (Pixels, {}, GRID, "✗", "declares reads='cell', but reads whole pixels"),
        (ArgmaxOriginal, {"reads": "pixel"}, GRID, "✗", "but finds a peak where 'half-pixel' puts it"),
        (Blind, {}, GRID, "–", "does not find a made-up peak"),
        (Picky, {}, GRID, "–", "cannot be tried on made-up maps: ValueError: 25 channels"),
        (Together, {}, MANY, "✗", "depend on the other pairs of the batch"),
        (Elsewhere, {}, MANY, "✗", "differ by 1.4 px from those of a call"),
    ],
)
def test_a_localizer_of_a_plugin(bench, monkeypatch, made, declared, check, mark, detail):
    class Plugin:
        @harness.hookimpl
        def bench_localizers():
            return [LocalizerSpec(name="mine", make=made, **declared)]

    def load(blocked=()):
        host = load_plugins(blocked, points=[])
        host.load("mine", "mine", "1", lambda: Plugin)
        return host

    monkeypatch.setattr(harness.cli, "load_plugins", load)
    done = bench("doctor", "hog", "--localizer", "mine")
    found = findings(done.out)
    assert done.status == (mark == "✗")
    assert found[check][0] == mark
    assert detail in found[check][1]
