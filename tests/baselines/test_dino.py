"""DINOv1, DINOv2 and DINOv3 as methods: grids, published sizes, extractors, runs."""

from __future__ import annotations

import json
import shutil
import types

import numpy as np
import PIL.Image
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.photos import draw
from support.results import the_record
from support.vision_transformers import rewrite_config, save_network

import harness.cli
from baselines.methods import dino as dino_methods
from baselines.networks.pixels import normalize_pixels
from baselines.vit.backbone import VisionTransformer
from baselines.vit.card import VitCard
from harness.frames import Frame, PatchGrid, Size, cells_to_pixels, pixels_to_cells
from harness.hookspecs import hookimpl
from harness.localizers.on_grid import Argmax
from harness.localizers.original_resolution import ArgmaxOriginal
from harness.plugins.loading import load_plugins
from harness.preprocess import padded_batch
from harness.specs import ExtractorSpec, FeatureMap, ImageRequest, MakeContext

pytestmark = pytest.mark.usefixtures("one_thread")

WEIGHTS = {"dinov1": "dino-vits8", "dinov2": "dinov2-base", "dinov3": "dinov3-vitb16"}

KINDS = {"dinov1": "v1", "dinov2": "v2", "dinov3": "v3"}


@given(
    st.integers(1, 8),
    st.integers(1, 8),
    st.integers(1, 12),
    st.integers(1, 12),
    st.tuples(st.floats(-50, 300), st.floats(-50, 300)),
)
def test_overlapping_patches_there_and_back(stride, ratio, columns, rows, point):
    grid = PatchGrid(stride * ratio, stride)
    cells, frame = (
        Size(columns, rows),
        Size(*((number - 1) * stride + stride * ratio for number in (columns, rows))),
    )
    positions = pixels_to_cells(np.array([point]), frame, cells, grid)
    assert np.allclose(cells_to_pixels(positions, frame, cells, grid), [point], atol=1e-9)
    corners = np.array([[0.0, 0.0], [columns - 1, rows - 1]])
    centres = cells_to_pixels(corners, frame, cells, grid)
    assert np.allclose(centres[0], stride * ratio / 2)
    assert np.allclose(centres[1], np.array(frame) - stride * ratio / 2)
    if ratio == 1:
        assert np.allclose(centres, cells_to_pixels(corners, frame, cells, "patch-centre"))


@pytest.mark.parametrize("localizer", [Argmax(), ArgmaxOriginal()])
def test_a_grid_of_whole_patches_is_the_patch_centre_grid(localizer):
    generator = torch.Generator().manual_seed(0)
    data = [torch.randn(16, 6, 6, generator=generator) for _ in range(2)]
    frame = Frame.padded(Size(90, 70), 48)
    points = torch.rand(20, 2, generator=generator, dtype=torch.float64) * torch.tensor([90.0, 70.0])
    located = [
        localizer(*(FeatureMap(features, frame, grid) for features in data), points)
        for grid in (PatchGrid(8, 8), "patch-centre")
    ]
    assert torch.equal(located[0].points, located[1].points)
    assert torch.allclose(located[0].score, located[1].score)


def test_padding_keeps_points_where_the_frame_says():
    image = PIL.Image.new("RGB", (60, 40), "white")
    image.paste("red", (45, 10, 60, 20))
    (pixels,) = padded_batch([ImageRequest(image, "a", "thing")], 120)
    assert pixels.shape == (3, 120, 120)
    assert not pixels[:, :20].any()
    assert not pixels[:, 100:].any()
    assert pixels[:, 20:100, :80].min() > 0.9
    frame = Frame.padded(Size(60, 40), 120)
    for point, colour in (
        ((52.0, 15.0), [1, 0, 0]),
        ((52.0, 5.0), [1, 1, 1]),
        ((52.0, 25.0), [1, 1, 1]),
        ((30.0, 15.0), [1, 1, 1]),
    ):
        x, y = frame.from_original(np.array(point)).astype(int)
        assert torch.allclose(pixels[:, y, x], torch.tensor(colour, dtype=torch.float32), atol=0.02)


def card(native, patch):
    return VitCard("Dinov2Model", native, patch, 12, 768, 1)


def test_recipes_give_the_published_sizes():
    factors = {spec.name: spec.make.__self__.factor for spec in dino_methods.EXTRACTORS}
    assert card(224, 8).side(factors["dinov1"]) == 224
    assert card(518, 14).side(factors["dinov2"]) == 840
    assert card(224, 16).side(factors["dinov3"]) == 960
    assert card(96, 8).side(factors["dinov2"]) == 152  # 155.7, in whole patches


def extractor_of(method, folders):
    (spec,) = (spec for spec in dino_methods.EXTRACTORS if spec.name == method)
    weights = {WEIGHTS[method]: folders[KINDS[method]]}
    return spec, spec.make(MakeContext(params=spec.params, weights=weights)), weights


def test_an_extractor_is_what_its_notes_say(folders, tmp_path):
    """The recipe by hand: padded, normalised, layer and facet of the paper, size by the backbone."""
    draw(tmp_path / "a.png", 3)
    request = ImageRequest(PIL.Image.open(tmp_path / "a.png"), "a", "blob")
    for method, side, layer, facet, stride in (
        ("dinov1", 48, 1, "key", 4),
        ("dinov2", 80, 3, "token", 8),
        ("dinov3", 208, 3, "token-norm", 8),
    ):
        spec, extractor, weights = extractor_of(method, folders)
        (feature_map,) = extractor.extract([request])
        pixels = padded_batch([request], side)
        expected = VisionTransformer(folders[KINDS[method]]).features(
            normalize_pixels(pixels), layer, facet, stride
        )[0]
        assert torch.equal(feature_map.data, expected)
        assert feature_map.frame == Frame.padded(Size(60, 48), side)
        assert feature_map.grid == PatchGrid(8, stride)
        assert tuple(spec.fed(weights)) == (side, side)


def test_positions_lie_as_the_parameter_says(folders, tmp_path):
    draw(tmp_path / "a.png", 3)
    request = ImageRequest(PIL.Image.open(tmp_path / "a.png"), "a", "blob")
    (spec,) = (spec for spec in dino_methods.EXTRACTORS if spec.name == "dinov2")
    weights = {WEIGHTS["dinov2"]: folders[KINDS["dinov2"]]}
    maps = {}
    for offset in (None, 0.1, 0.0, 0):
        params = {**spec.params, "position_offset": offset}
        (feature_map,) = spec.make(MakeContext(params=params, weights=weights)).extract([request])
        maps[repr(offset)] = feature_map.data
    assert torch.equal(maps["None"], maps["0.1"])
    assert torch.equal(maps["0.0"], maps["0"])
    assert not torch.equal(maps["0.1"], maps["0.0"])
    assert all(spec.param_help.keys() == spec.params.keys() for spec in dino_methods.EXTRACTORS)


def test_normalisation_is_imagenets():
    grey = normalize_pixels(torch.full((1, 3, 2, 2), 0.5))
    assert torch.allclose(
        grey[0, :, 0, 0], torch.tensor([(0.5 - 0.485) / 0.229, (0.5 - 0.456) / 0.224, (0.5 - 0.406) / 0.225])
    )


@pytest.mark.parametrize("method", WEIGHTS)
def test_the_centre_of_a_patch_finds_itself(folders, tmp_path, method):
    draw(tmp_path / "a.png", 3, (160, 120))
    request = ImageRequest(PIL.Image.open(tmp_path / "a.png"), "a", "blob")
    (feature_map,) = extractor_of(method, folders)[1].extract([request])
    width, height = feature_map.cells
    # In frame pixels: the first patch's centre is half a patch from the edge, the next a stride further.
    starts = (
        torch.cartesian_prod(torch.arange(width), torch.arange(height)).double() * feature_map.grid.stride
    )
    points = feature_map.frame.to_original(starts + 4.0)
    predicted = Argmax()(feature_map, feature_map, points).points
    torch.testing.assert_close(predicted, points, atol=1e-6, rtol=0)


@pytest.mark.parametrize("method", WEIGHTS)
def test_doctor_finds_nothing(bench, tmp_path, method):
    # The doctor's pictures have plain backgrounds, in which only learned positions differ under random
    # weights; DINOv3 does not have any.
    known_by_place = method != "dinov3"
    folder = save_network(
        tmp_path,
        KINDS[method],
        scale=1.0,
        only="position_embeddings" if known_by_place else "cls_token",
        image_size=96,
    )
    done = bench("doctor", method, "--weights", f"{WEIGHTS[method]}={folder}")
    troubles = [line for line in done.out.splitlines() if "✗" in line]
    assert done.out.count("✓") + len(troubles) == 12
    assert done.warnings == []
    assert not troubles or (
        not known_by_place and "matched with itself" in troubles[0] and len(troubles) == 1
    )


def test_a_run_records_the_size_the_backbone_was_fed(bench, folders, photos, tmp_path):
    weights = ("--weights", f"dinov2-base={folders['v2']}")
    done = bench(
        "run", "--methods", "dinov2", "--datasets", f"folder={photos}", *weights, "--out", tmp_path / "r"
    )
    assert done.status == 0, done.err
    record = the_record(tmp_path / "r")
    assert record["cell"]["fed"] == [80, 80]
    assert "80 x 80" in done.out


def test_a_cell_without_weights_has_no_size(bench, photos, tmp_path, monkeypatch):
    """Weights, which determine the size, are not looked for if method and prompt do not fit."""

    def size(weights):
        raise KeyError("weights")

    plugin = types.ModuleType("mine")
    records = [
        ExtractorSpec(
            name="mine", make=lambda context: None, image_size=size, prompt_kinds=frozenset({"smell"})
        )
    ]
    plugin.bench_extractors = hookimpl(lambda: records)

    def load(blocked=()):
        host = load_plugins(blocked, points=[])
        host.load("mine", "mine", "1", lambda: plugin)
        return host

    monkeypatch.setattr(harness.cli, "load_plugins", load)
    arguments = (
        "--methods",
        "mine,position",
        "--prompts",
        "empty",
        "--datasets",
        f"folder={photos}",
        "--out",
        tmp_path / "r",
    )
    done = bench("run", *arguments)
    assert done.status == 0, done.err
    records = [json.loads(path.read_text())["cell"] for path in (tmp_path / "r").glob("*/record.json")]
    assert {cell["method"]: cell["fed"] for cell in records} == {"mine": None, "position": [768, 768]}


def test_a_damaged_configuration_stops_a_run_before_it_begins(bench, folders, photos, tmp_path):
    shutil.copytree(folders["v2"], tmp_path / "w")
    rewrite_config(tmp_path / "w" / "config.json", model_type="bert")
    arguments = (
        "--datasets",
        f"folder={photos}",
        "--weights",
        f"dinov2-base={tmp_path / 'w'}",
        "--out",
        tmp_path / "r",
    )
    done = bench("run", "--methods", "dinov2", *arguments)
    assert done.status == 2
    assert "model_type is 'bert'" in done.complaint
