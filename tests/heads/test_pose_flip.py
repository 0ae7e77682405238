"""The pose flip: what it predicts, what a run tells it, and how its numbers are marked."""

from __future__ import annotations

import types
from dataclasses import replace
from functools import partial

import numpy as np
import PIL.Image
import PIL.ImageOps
import pyarrow.parquet as pq
import pytest
import torch
from support.results import the_record

import harness.cli
from harness.datasets.images import MIRRORED
from harness.datasets.shapes.spec import SHAPES
from harness.errors import ExtractionError
from harness.frames import Frame, Size
from harness.hookspecs import hookimpl
from harness.localizers.on_grid import WindowSoftmax
from harness.plugins.loading import load_plugins
from harness.specs import (
    DatasetSpec,
    ExtractorSpec,
    FeatureMap,
    ImagePair,
    ImageRequest,
    LocalizerSpec,
    MethodSpec,
    PairAnnotations,
)
from heads.pose_flip.extractor import MirroredToo, mirrored_request
from heads.pose_flip.formulas import replaceable, visible_order
from heads.pose_flip.localizer import PoseFlip

CELLS, SIDE = 12, 48


class Places:
    """The four quarters of each cell, in their order: a mirrored cell is another one."""

    def __init__(self):
        self.identities = []

    def extract(self, requests):
        maps = []
        for request in requests:
            self.identities.append(request.identity)
            small = request.image.resize((2 * CELLS, 2 * CELLS), PIL.Image.Resampling.BOX)
            colours = torch.from_numpy(np.asarray(small, np.float32) / 255 - 0.5).permute(2, 0, 1)
            frame = Frame.stretched(request.size, Size(SIDE, SIDE))
            maps.append(FeatureMap(torch.nn.functional.pixel_unshuffle(colours, 2), frame, "patch-centre"))
        return maps


def noise(seed: int) -> PIL.Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (2 * CELLS, 2 * CELLS, 3), dtype=np.uint8)
    return PIL.Image.fromarray(values).resize((SIDE, SIDE), PIL.Image.Resampling.NEAREST)


def request(image: PIL.Image.Image, identity: str = "a") -> ImageRequest:
    return ImageRequest(image, identity, "cat", prompt="words", seed=3)


POINTS = torch.tensor([[10.0, 10.0], [38.0, 10.0], [22.0, 41.0], [30.0, 18.0]], dtype=torch.float64)


def located(target: PIL.Image.Image, partners: tuple[int, ...]):
    extractor = MirroredToo(Places())
    source_map, target_map = extractor.extract([request(noise(1)), request(target, "b")])
    return PoseFlip(1, 0.001).locate_annotated(source_map, target_map, POINTS, PairAnnotations(partners))


def test_a_mirrored_target_is_matched_from_the_mirrored_source():
    """The third point is its own partner; the fourth's partner is not visible."""
    partners = (1, 0, 2, -1)
    flipped = located(PIL.ImageOps.mirror(noise(1)), partners)
    # Where a left point's partner is, seen in the mirror: the other one of the pair, at its cell's centre.
    centres = (POINTS // 4) * 4 + 2
    expected = centres[[1, 0, 2]].clone()
    expected[:, 0] = SIDE - expected[:, 0]
    assert torch.allclose(flipped.points[:3], expected, atol=0.05)
    # From the source as it is.
    source, target = Places().extract([request(noise(1)), request(PIL.ImageOps.mirror(noise(1)))])
    plain = WindowSoftmax(1, 0.001)(source, target, POINTS)
    assert torch.equal(flipped.points[3], plain.points[3])
    assert not torch.allclose(flipped.points[:3], plain.points[:3], atol=1)


def test_points_are_mirrored_by_the_width_of_the_source():
    """The same target at twice the size: predictions lie twice as far, and no other cell is found."""
    target = PIL.ImageOps.mirror(noise(1))
    small = located(target, (1, 0, 2, -1))
    large = located(target.resize((2 * SIDE, 2 * SIDE), PIL.Image.Resampling.NEAREST), (1, 0, 2, -1))
    assert torch.allclose(large.points, 2 * small.points, atol=0.1)


def test_a_point_is_replaced_where_its_partner_is_visible_too():
    is_visible = torch.tensor([True, False, True])
    assert replaceable([1, 0, 2], is_visible).tolist() == [False, False, True]
    assert visible_order([1, 0, 2], torch.tensor([True, True, True])) == [1, 0, 2]
    assert visible_order([1, 0, 2], is_visible) == [0, 1, 2]


def test_a_target_like_the_source_is_matched_as_ever():
    maps = Places().extract([request(noise(1)), request(noise(1))])
    plain = WindowSoftmax(1, 0.001)(*maps, POINTS)
    same = located(noise(1), (1, 0, 2, -1))
    assert torch.equal(same.points, plain.points)
    assert torch.equal(same.score, plain.score)


def test_without_visible_partners_nothing_is_flipped():
    mirrored = PIL.ImageOps.mirror(noise(1))
    maps = Places().extract([request(noise(1)), request(mirrored)])
    plain = WindowSoftmax(1, 0.001)(*maps, POINTS)
    assert torch.equal(located(mirrored, (-1, -1, -1, -1)).points, plain.points)


def test_maps_without_their_mirror_image_are_refused():
    maps = Places().extract([request(noise(1)), request(noise(2))])
    with pytest.raises(ExtractionError, match="no level with the features of its mirror image"):
        PoseFlip(1, 0.02).locate_annotated(*maps, POINTS, PairAnnotations((0, 1, 2, 3)))


def test_the_mirrored_picture_is_another_one_with_the_same_prompt():
    extractor = Places()
    (both,) = MirroredToo(extractor).extract([request(noise(1))])
    assert extractor.identities == ["a", "a" + MIRRORED]
    # Quarters change sides, too: channels are (colour, top or bottom, left or right).
    quarters = both.data.unflatten(0, (3, 2, 2)).flip(2).flatten(0, 2)
    assert torch.equal(quarters.flip(2), both.levels[-1])
    mirrored = mirrored_request(request(noise(1)))
    assert (mirrored.prompt, mirrored.seed, mirrored.prepared) == ("words", 3, None)
    assert mirrored_request(mirrored).identity == "a"


class Named:
    """Two pairs of the bundled dataset."""

    def __init__(self, wrapped):
        self._wrapped = wrapped
        self.pair_ids = wrapped.pair_ids[:2]

    def __len__(self):
        return 2

    def __getitem__(self, index: int) -> ImagePair:
        pair = self._wrapped[index]
        names = (f"left {number}" for number in range(len(pair.keypoint_ids)))
        return replace(pair, keypoint_ids=tuple(names), source_keypoints=None, target_keypoints=None)


def dataset(name: str, partners) -> DatasetSpec:
    return DatasetSpec(
        name=name, open=lambda folder, split: Named(SHAPES.open(folder, "test")), mirror_partners=partners
    )


def returning(specs):
    """A hook implementation; pluggy would take a default argument for a hook's."""
    return lambda: specs


@pytest.fixture
def flips(monkeypatch):
    """`bench` knows a method `flips`, and a dataset with and one without partners."""
    tables = {"": {"left 0": "left 1", "left 1": "left 0", "left 2": "gone"}}
    module = types.ModuleType("flips")
    records = {
        "bench_extractors": [
            ExtractorSpec(name=name, make=make, image_size=(SIDE, SIDE))
            for name, make in (
                ("both", lambda context: MirroredToo(Places())),
                ("plain", lambda context: Places()),
            )
        ],
        "bench_localizers": [
            LocalizerSpec(
                name="flip",
                make=partial(PoseFlip, window=1, temperature=0.02),
                grid="patch-centre",
                reads="patch",
                reads_annotations=True,
                extractors=frozenset({"both"}),
            )
        ],
        "bench_methods": [
            MethodSpec(name="flips", extractor="both", localizer="flip"),
            MethodSpec(name="stays", extractor="plain"),
        ],
        "bench_datasets": [dataset("paired", tables), dataset("unpaired", {})],
    }
    for hook, specs in records.items():
        setattr(module, hook, hookimpl(returning(specs)))

    def load(blocked=()):
        host = load_plugins(blocked)
        host.load("flips", "flips", "1", lambda: module)
        assert host.plugins[-1].status == "loaded", host.plugins[-1].reason
        return host

    monkeypatch.setattr(harness.cli, "load_plugins", load)
    seen = []
    monkeypatch.setattr(
        PoseFlip,
        "locate_annotated",
        lambda self, source, target, points, annotations: (
            seen.append(annotations) or self(source, target, points)
        ),
    )
    return types.SimpleNamespace(tables=tables, seen=seen)


def test_a_run_tells_partners_and_marks_its_numbers(bench, flips, tmp_path):
    words = ["run", "--methods", "flips", "--datasets", "paired", "--out", tmp_path]
    outcome = bench(*words, "--localizers", "flip,argmax")
    assert outcome.status == 0
    assert len(flips.seen) == 2
    for told in flips.seen:
        assert told.partners[:4] == (1, 0, -1, 3)
    (flipped,) = [line for line in outcome.out.splitlines() if "| flip " in line]
    (plain,) = [line for line in outcome.out.splitlines() if "| argmax " in line]
    assert "paired: told which of the target's keypoints are visible" in flipped
    assert "told" not in plain
    record = the_record(tmp_path)
    assert {name: each["reads_annotations"] for name, each in record["localizers"].items()} == {
        "argmax": False,
        "flip": True,
    }
    # Other partners are other predictions.
    flips.tables[""]["left 3"] = "left 4"
    assert bench(*words).status == 0
    assert len(flips.seen) == 4
    (path,) = tmp_path.glob("*/predictions.parquet")
    assert b"told partners" in pq.read_schema(path).metadata[b"localizers"]


def test_data_and_methods_that_lack_something_are_not_applicable(bench, flips, tmp_path):
    words = ["run", "--out", tmp_path, "--localizers", "argmax,flip"]
    unpaired = bench(*words, "--methods", "flips", "--datasets", "unpaired")
    assert unpaired.status == 0
    needs = "needs each keypoint's partner in the mirrored picture, and dataset unpaired names none"
    assert needs in unpaired.out + unpaired.err
    stays = bench(*words, "--methods", "stays", "--datasets", "paired")
    assert "localizer 'flip' reads maps of both, and stays has those of plain" in stays.out + stays.err
    assert not flips.seen
    alone = bench("run", "--out", tmp_path, "--methods", "flips", "--datasets", "unpaired")
    assert alone.status == 2
    assert needs in alone.complaint


def test_photos_have_no_annotations(bench, flips, tmp_path):
    for number, name in enumerate("ab"):
        noise(number).save(tmp_path / f"{name}.png")
    pictures = (tmp_path / "a.png", tmp_path / "b.png")
    words = ["match", *pictures, "--points", "9,9", "--method", "flips", "--json"]
    assert "dataset folder names none" in bench(*words).complaint
    assert bench(*words, "--localizer", "argmax").status == 0
