"""Matchers of a plugin in a run: identity, parameters, failures, what reads their matches."""

from __future__ import annotations

import json
import types
from dataclasses import replace

import PIL.Image
import pytest
import torch
from support.extractors import small_map
from support.results import the_record

import harness.cli
from harness.frames import Frame, Size
from harness.hookspecs import hookimpl
from harness.isolation.copies import copied
from harness.plugins.loading import load_plugins
from harness.records.predictions import read_predictions
from harness.specs import (
    ExtractorSpec,
    Lattice,
    LocalizerSpec,
    MatcherSpec,
    Matches,
    MethodSpec,
    NetworkTraining,
    WeightSource,
)


def lattice(feature_map, grid=None):
    return Lattice(feature_map.frame, feature_map.cells, grid)


def correlate(source, target, power=1):
    """Cosines of all cells of two maps, to a power."""
    maps = [map_.data.flatten(1) / map_.norms.flatten() for map_ in (source, target)]
    cosines = (maps[0].T @ maps[1]).view(*source.data.shape[1:], *target.data.shape[1:])
    return Matches(lattice(source), lattice(target), volume=cosines**power)


class Cosines:
    """Correlates, and counts its calls."""

    def __init__(self, context):
        self.power = context.params["power"]
        self.calls = context.shared.once("calls", "calls", list)

    def match(self, pairs):
        self.calls.append(len(pairs))
        return [correlate(source, target, self.power) for source, target in pairs]


class Shift:
    """A flow: one cell to the right."""

    def match(self, pairs):
        flows = []
        for source, target in pairs:
            columns, rows = torch.meshgrid(torch.arange(6.0), torch.arange(6.0), indexing="xy")
            flow = torch.stack([columns + 1, rows])
            flows.append(Matches(lattice(source), lattice(target), flow=flow, confidence=torch.ones(6, 6)))
        return flows


def extract(requests):
    return [replace(small_map(request), levels=(torch.ones(2),)) for request in requests]


def matcher(name="cosines", make=Cosines, **fields):
    fields.setdefault("params", {"power": 1} if make is Cosines else {})
    return MatcherSpec(name=name, make=make, extractors=frozenset({"small"}), **fields)


def method(name, matcher_name, localizer="argmax"):
    return MethodSpec(name=name, extractor="small", matcher=matcher_name, localizer=localizer)


@pytest.fixture
def with_matchers(monkeypatch):
    """Adds an extractor `small`, matchers and methods to what `bench` in this process loads."""

    def add(matchers, methods, extract=extract, localizers=(), weights=()):
        module = types.ModuleType("mine")
        made = types.SimpleNamespace(extract=extract)
        specs = [ExtractorSpec(name="small", make=lambda context: made, image_size=(48, 48))]
        module.bench_extractors = hookimpl(lambda: specs)
        module.bench_matchers = hookimpl(lambda: list(matchers))
        module.bench_methods = hookimpl(lambda: list(methods))
        module.bench_localizers = hookimpl(lambda: list(localizers))
        module.bench_weights = hookimpl(lambda: list(weights))

        def load(blocked=()):
            host = load_plugins(blocked, points=[])
            host.load("mine", "mine", "1", lambda: module)
            return host

        monkeypatch.setattr(harness.cli, "load_plugins", load)

    return add


def rows_of(folder, localizer):
    table = read_predictions(folder / "predictions.parquet").to_pylist()
    return [row for row in table if row["localizer"] == localizer]


def run(bench, photos, out, *words):
    return bench("run", "--datasets", f"folder={photos}", "--out", out, *words)


def test_localizers_read_a_volume_as_they_read_maps(bench, photos, tmp_path, with_matchers):
    with_matchers([matcher()], [method("matched", "cosines")])
    names = "argmax,argmax-patch,soft-argmax,kernel-softmax,window-softmax,bilinear"
    done = run(bench, photos, tmp_path / "r", "--methods", "matched,small", "--localizers", names)
    assert done.status == 0, done
    folders = [path.parent for path in sorted((tmp_path / "r").glob("*/record.json"))]
    assert len(folders) == 2
    for name in names.split(","):
        matched, compared = (rows_of(folder, name) for folder in folders)
        assert matched
        assert len(matched) == len(compared)
        if name in ("argmax-patch", "window-softmax"):
            # They read the cell that a point falls into: one feature, one row of the volume.
            for row, other in zip(matched, compared, strict=True):
                assert [row["x"], row["y"]] == pytest.approx([other["x"], other["y"]], abs=1e-3)


def test_a_matcher_is_part_of_the_cell_and_sees_one_pair_at_a_time(bench, photos, tmp_path, with_matchers):
    with_matchers([matcher()], [method("matched", "cosines")])
    done = run(bench, photos, tmp_path / "r", "--methods", "matched", "--set", "power=1,3")
    assert done.status == 0, done
    records = [json.loads(path.read_text()) for path in sorted((tmp_path / "r").glob("*/record.json"))]
    assert sorted(record["cell"]["label"] for record in records) == ["matched", "matched[power=3]"]
    assert {record["cell"]["matcher"] for record in records} == {"cosines"}
    assert all("mine (" in record["provenance"]["plugins"]["matcher"] for record in records)
    assert {
        record["provenance"]["stages"].keys() >= {"extract", "match", "locate"} for record in records
    } == {True}
    done = run(bench, photos, tmp_path / "r", "--methods", "matched", "--set", "powers=1")
    assert done.status == 2
    assert "did you mean power (matched)?" in done.complaint


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda source, target: "matches", "returned a str, expected Matches"),
        (lambda source, target: replace(correlate(source, target), volume=None), "a volume or a flow"),
        (
            lambda source, target: replace(correlate(source, target), volume=torch.ones(6, 6, 6)),
            "(6, 6, 6, 6) by the lattices; the matcher returned torch.float32 of shape (6, 6, 6)",
        ),
        (
            lambda source, target: replace(correlate(source, target), volume=torch.full((6,) * 4, torch.nan)),
            "the volume has NaN or infinite values",
        ),
        (
            lambda source, target: replace(correlate(source, target), source=Size(6, 6)),
            "source of the matches is a Size, expected a Lattice",
        ),
        (
            lambda source, target: replace(correlate(source, target), volume=None, flow=torch.ones(2, 6, 6)),
            "returned a flow, and its spec says that it gives volume",
        ),
        (lambda source, target: 1 / 0, "ZeroDivisionError"),
    ],
    ids=["no matches", "neither", "shape", "NaN", "lattice", "kind", "error"],
)
def test_what_a_matcher_returns_is_checked(bench, photos, tmp_path, with_matchers, make, text):
    made = types.SimpleNamespace(match=lambda pairs: [make(*pair) for pair in pairs])
    with_matchers([matcher(make=lambda context: made)], [method("matched", "cosines")])
    done = run(bench, photos, tmp_path / "r", "--methods", "matched")
    assert done.status == 1
    assert text in done.complaint
    assert "matcher failed on" in done.complaint
    assert the_record(tmp_path / "r")["status"] == "failed"


def test_a_matcher_that_fails_on_one_pair_fails_that_one(bench, photos, tmp_path, with_matchers):
    seen = []

    def match(pairs):
        seen.append(len(pairs))
        if len(seen) == 2:
            raise ValueError("no")
        return [correlate(*pair) for pair in pairs]

    made = types.SimpleNamespace(match=match)
    with_matchers([matcher(make=lambda context: made)], [method("matched", "cosines")])
    done = run(bench, photos, tmp_path / "r", "--methods", "matched")
    assert done.status == 1
    assert set(seen) == {1}
    record = the_record(tmp_path / "r")
    assert (record["status"], len(record["failures"])) == ("partial", 1)
    again = run(bench, photos, tmp_path / "r", "--methods", "matched")
    assert again.status == 0
    assert len(seen) == 13
    assert the_record(tmp_path / "r")["status"] == "ok"


def test_a_matcher_that_changes_what_it_is_given_leaves_other_pairs_alone(
    bench, photos, tmp_path, with_matchers
):
    seen = []

    def match(pairs):
        for feature_map in pairs[0]:
            tensors = (feature_map.data, *feature_map.levels)
            seen.append([float(tensor.sum()) for tensor in tensors])
            for tensor in tensors:
                tensor.add_(1)
        return [correlate(*pair) for pair in pairs]

    made = types.SimpleNamespace(match=match)
    with_matchers([matcher(make=lambda context: made)], [method("matched", "cosines")])
    assert run(bench, photos, tmp_path / "r", "--methods", "matched").status == 0
    assert {level for _, level in seen} == {2}
    # Each photo is in several pairs.
    assert len({data for data, _ in seen}) < len(seen) / 2


def test_what_a_plugin_writes_into_matches_is_its_own():
    cells = Lattice(Frame.stretched(Size(9, 9), Size(4, 4)), Size(2, 2))
    small_matches = Matches(cells, cells, volume=torch.zeros(2, 2, 2, 2))
    copy = copied(small_matches)
    copy.volume.add_(1)
    assert not small_matches.volume.any() and copied(small_matches).confidence is None


def test_a_localizer_that_cannot_read_the_matches_is_not_applicable(bench, photos, tmp_path, with_matchers):
    flow = matcher("shift", make=lambda context: Shift(), gives="flow")
    with_matchers([flow, matcher()], [method("moved", "shift", "flow"), method("matched", "cosines")])
    words = ("--methods", "moved,matched,small", "--localizers", "argmax,flow,argmax-original")
    done = run(bench, photos, tmp_path / "r", *words)
    assert done.status == 0, done
    for reason in (
        "localizer 'argmax' reads a volume, and the matcher of moved gives a flow",
        "localizer 'flow' reads a flow, and the matcher of matched gives a volume",
        "localizer 'argmax-original' reads no matches, and the matcher of moved gives a flow",
        "localizer 'flow' reads matches, and small has no matcher",
    ):
        assert reason in done.out
    ok = [
        record
        for record in (json.loads(path.read_text()) for path in (tmp_path / "r").glob("*/record.json"))
        if record["status"] == "ok"
    ]
    assert {record["cell"]["method"]: sorted(record["localizers"]) for record in ok} == {
        "moved": ["flow"],
        "matched": ["argmax"],
        "small": ["argmax", "argmax-original"],
    }
    done = run(bench, photos, tmp_path / "r2", "--methods", "moved", "--localizers", "argmax")
    assert done.status == 2
    assert "nothing to run: localizer 'argmax' reads a volume" in done.complaint


def test_a_flow_is_read_between_its_cells(bench, photos, tmp_path, with_matchers):
    flow = matcher("shift", make=lambda context: Shift(), gives="flow")
    with_matchers([flow], [method("moved", "shift", "flow")])
    assert run(bench, photos, tmp_path / "r", "--methods", "moved").status == 0
    (folder,) = (path.parent for path in (tmp_path / "r").glob("*/record.json"))
    rows = rows_of(folder, "flow")
    assert rows
    assert {row["score"] for row in rows} == {1.0}
    # Each point moves by a cell of its own image: both sides have six cells across.
    positions = {(row["x"], row["y"]) for row in rows}
    assert len(positions) > 1


def test_levels_of_a_map_are_checked_and_counted(bench, photos, tmp_path, with_matchers):
    def extract_nan(requests):
        return [replace(small_map(request), levels=(torch.tensor([torch.nan]),)) for request in requests]

    with_matchers([matcher()], [method("matched", "cosines")], extract=extract_nan)
    done = run(bench, photos, tmp_path / "r", "--methods", "matched")
    assert done.status == 1
    assert "level 0 of the feature map has NaN or infinite values" in done.complaint
    with_matchers(
        [matcher()],
        [method("matched", "cosines")],
        extract=lambda requests: [replace(small_map(each), levels=[torch.ones(2)]) for each in requests],
    )
    done = run(bench, photos, tmp_path / "r", "--methods", "matched")
    assert "levels of a feature map are a tuple, not a list" in done.complaint
    request = types.SimpleNamespace(image=PIL.Image.new("RGB", (4, 4)), size=Size(4, 4))
    assert replace(small_map(request), levels=(torch.ones(5),)).nbytes == 4 * (3 * 36 + 5)


@pytest.mark.parametrize(
    ("matchers", "text"),
    [
        ([], "unknown matcher 'cosines'"),
        ([replace(matcher(), extractors=frozenset({"dift"}))], "reads maps of dift, not of 'small'"),
    ],
)
def test_a_recipe_that_does_not_fit_together_is_one_line(
    bench, photos, tmp_path, with_matchers, matchers, text
):
    with_matchers(matchers, [method("matched", "cosines")])
    done = run(bench, photos, tmp_path / "r", "--methods", "matched")
    assert done.status == 2
    assert text in done.complaint


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"extractors": "small"}, "extractors is 'small' (str), expected a set of names of extractors"),
        ({"gives": "points"}, "gives is 'points' (str), expected one of volume, flow"),
        ({"params": {"a": [1]}}, "params is"),
    ],
)
def test_fields_of_a_matcher_are_checked_when_its_plugin_is_loaded(bench, with_matchers, fields, text):
    with_matchers([replace(matcher(), **fields)], [])
    done = bench("plugins")
    assert f"matcher 'cosines': {text}" in done.out


def test_a_localizer_says_what_it_reads(bench, with_matchers):
    spec = LocalizerSpec(name="reads", make=Shift, matches=frozenset({"maps"}))
    with_matchers([], [], localizers=[spec])
    assert "localizer 'reads': matches is" in bench("plugins").out


def test_two_photos_are_matched_through_the_matcher(bench, photos, with_matchers, tmp_path):
    with_matchers([matcher()], [method("matched", "cosines")])
    pictures = sorted(photos.glob("*.png"))[:2]
    done = bench("match", *pictures, "--method", "matched", "--points", "5,5", "--json")
    assert done.status == 0, done
    run(bench, photos, tmp_path / "r", "--methods", "matched")
    assert json.loads(done.out)["method"] == "matched"
    dense = bench("match", *pictures, "--method", "matched", "--dense", "-o", tmp_path / "dense.png")
    assert dense.status == 0
    assert (tmp_path / "dense.png").stat().st_size > 1000


def test_matchers_are_listed_and_shown(bench, with_matchers):
    spec = replace(matcher(), description="cosines of all cells", param_help={"power": "exponent"})
    with_matchers([spec], [method("matched", "cosines")])
    assert "cosines" in bench("list", "matchers").out
    assert "gives a volume" in bench("show", "matched").out
    card = bench("show", "cosines").out
    assert "matcher cosines: cosines of all cells" in card
    assert "methods matched" in card
    listed = {each["name"]: each for each in json.loads(bench("list", "methods", "--json").out)}
    assert listed["matched"]["parameters"] == {"power": {"default": 1, "description": "exponent"}}


def test_tables_say_what_a_networks_own_file_was_trained_on(bench, photos, tmp_path, with_matchers):
    """Of the published file the recipe says it; of a bundled one its source; of a user's the file alone."""
    said = {"told.pt": NetworkTraining("birds", ("birds/val",))}
    files = {name: tmp_path / name for name in ("bundled.pt", "told.pt", "silent.pt")}
    for path in files.values():
        path.write_bytes(b"0")
    read = lambda path: said.get(path.name, NetworkTraining())  # noqa: E731
    sources = [
        WeightSource(name="net", file="bundled.pt", locate=lambda: files["bundled.pt"], training=read),
        WeightSource(name="other", locate=lambda: files["silent.pt"]),
    ]
    recipe = replace(method("matched", "cosines"), trained_on="spair-71k", supervision="K", tuned_on=())
    with_matchers([matcher(weights=("net", "other"))], [recipe], weights=sources)
    trained = {}
    for name in ("", "told.pt", "silent.pt"):
        words = ("--weights", f"net={files[name]}") if name else ()
        assert run(bench, photos, tmp_path / f"r{name}", "--methods", "matched", *words).status == 0
        cell = the_record(tmp_path / f"r{name}")["cell"]
        trained[name] = (cell["trained_on"], cell["tuned_on"])
    assert trained == {
        "": ("spair-71k", []),
        "told.pt": ("birds", ["birds/val"]),
        "silent.pt": ("?", []),
    }
