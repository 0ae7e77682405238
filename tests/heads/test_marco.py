"""MARCO: its adapters in a block's arithmetic, its input, its files and its transfer of points."""

from __future__ import annotations

import argparse
import json
import re
from functools import partial

import numpy as np
import PIL.Image
import pytest
import torch
from support.vision_transformers import save_network

from baselines.networks.pixels import normalize_pixels
from baselines.vit.backbone import VisionTransformer
from harness.errors import UserError
from harness.files import file_sha256
from harness.frames import Frame, PatchGrid, Size
from harness.localizers.on_grid import KernelSoftmax
from harness.plugins.loading import load_plugins
from harness.preprocess import padded_batch
from harness.specs import FeatureMap, ImageRequest, Lattice, MakeContext, Matches
from heads.marco.files import load_head, load_marco
from heads.marco.inputs import input_frame, pad_at_corner, preparation
from heads.marco.localizer import MarcoTransfer
from heads.marco.names import BACKBONE, SOURCE
from heads.marco.network import SCALE, HeadShape, MarcoHead

SHAPE = HeadShape(width=24, adapters={2: 12, 3: 5}, enlargements=2)
SIDE = 72


def random_head(shape=SHAPE):
    torch.manual_seed(1)
    head = MarcoHead(shape)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape))
    return head


def save_as_the_authors_do(path, head, **changes):
    """Their training program's file: the head's tensors under `model`, and what else there was."""
    model = {**head.state_dict(), **changes}
    model = {name: tensor for name, tensor in model.items() if tensor is not None}
    rest = {"optimizer": {"state": {}, "param_groups": [{"lr": 1e-4}]}, "epoch": 7}
    torch.save({"model": model, "args": argparse.Namespace(lr=1e-4), **rest}, path)
    return path


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("backbones")
    return {kind: save_network(folder / kind, kind) for kind in ("v1", "v2", "v2-registers", "v3")}


@pytest.fixture
def file(tmp_path):
    return save_as_the_authors_do(tmp_path / "marco_spair.pth", random_head())


def second_norm(block):
    return block.layernorm_after if hasattr(block, "layernorm_after") else block.norm2


@pytest.mark.parametrize("kind", ["v1", "v2", "v2-registers", "v3"])
def test_an_adapter_adds_to_a_block_what_it_makes_of_the_tokens_after_attention(folders, file, kind):
    network = load_marco(folders[kind], file)
    plain = VisionTransformer(folders[kind])
    # All that a plain block reads, gives and hands to its second norm.
    seen = {}

    def remember(number, part, module, inputs, output=None):
        seen[number, part] = output if part == "out" else inputs[0]

    for number, block in enumerate(plain._blocks):
        block.register_forward_hook(partial(remember, number, "out"))
        second_norm(block).register_forward_pre_hook(partial(remember, number, "middle"))
    pixels = torch.randn(1, 3, 48, 48, generator=torch.Generator().manual_seed(2))
    adapted = next(module for module in network.backbone.modules() if isinstance(module, torch.nn.ModuleList))
    given = {}
    adapted[2].register_forward_hook(lambda module, inputs, output: given.setdefault("out", output))
    with torch.no_grad():
        options = {"interpolate_pos_encoding": True} if kind == "v1" else {}
        plain.model(pixels, **options)
        maps = network(pixels)
        adapter = network.head.adapter(2)
        middle = seen[2, "middle"]
        inner = adapter.down_proj(adapter.adapter_layer_norm_before(middle)).relu()
        expected = seen[2, "out"] + 0.1 * adapter.up_proj(inner)
    assert SCALE == 0.1
    torch.testing.assert_close(given["out"], expected)
    assert not torch.allclose(expected, seen[2, "out"], atol=1e-3)
    assert maps.shape == (1, 24, 4 * 6, 4 * 6)


def test_tokens_are_the_last_block_s_after_the_final_norm_without_class_and_registers(folders, tmp_path):
    head = random_head()
    for block in SHAPE.adapters:
        torch.nn.init.zeros_(head.adapter(block).up_proj.weight)
        torch.nn.init.zeros_(head.adapter(block).up_proj.bias)
    network = load_marco(folders["v2-registers"], save_as_the_authors_do(tmp_path / "none.pth", head))
    pixels = torch.randn(2, 3, 48, 64)
    expected = VisionTransformer(folders["v2-registers"]).features(pixels, -1, "token-norm")
    torch.testing.assert_close(network.tokens(pixels), expected)


def test_the_published_network_has_the_authors_names_and_size():
    with torch.device("meta"):
        head = MarcoHead(HeadShape(1024, dict.fromkeys(range(15, 24), 512), 2))
    names = head.state_dict()
    assert {
        "dino.blocks.15.adapter.adapter_layer_norm_before.weight",
        "dino.blocks.23.adapter.down_proj.bias",
        "dino.blocks.23.adapter.up_proj.weight",
        "upscale.0.conv1.weight",
        "upscale.0.conv1.bias",
        "upscale.1.conv2.weight",
        "upscale.1.norm.bias",
    } < set(names)
    assert len(names) == 9 * 6 + 2 * 5
    assert HeadShape.of(names) == head.shape
    # With the backbone's 304.4 million, the 323 million that they count.
    assert sum(tensor.numel() for tensor in names.values()) == 17_882_624


@pytest.mark.parametrize(
    ("missing", "told"),
    [
        ("dino.blocks.3.adapter.up_proj.bias", "dino.blocks.3.adapter.up_proj.bias"),
        ("dino.blocks.2.adapter.down_proj.weight", "dino.blocks.2.adapter.down_proj.weight"),
        ("upscale.0.conv1.weight", "upscale.0.conv1.weight"),
        ("upscale.1.conv2.weight", "upscale.1.conv2.weight"),
        ("dino.*", "dino.blocks.*.adapter.down_proj.weight"),
        ("upscale.0.*", "upscale.0.conv1.weight"),
        ("upscale.*", "upscale.0.conv1.weight"),
    ],
)
def test_the_first_missing_tensor_is_named(tmp_path, missing, told):
    head = random_head()
    gone = [name for name in head.state_dict() if name.startswith(missing.removesuffix("*"))]
    assert gone
    path = save_as_the_authors_do(tmp_path / "marco.pth", head, **dict.fromkeys(gone))
    with pytest.raises(UserError) as raised:
        load_head(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert re.search(rf"{re.escape(told)} is missing|is missing, {re.escape(told)}", str(raised.value))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"upscale.0.conv1.weight": torch.zeros(24, 24, 3, 3)}, "upscale.0.conv1.weight"),
        ({"upscale.0.conv1.weight": torch.tensor(1.0)}, "single number"),
        ({"dino.blocks.2.block.norm1.weight": torch.ones(24)}, "dino.blocks.2.block.norm1.weight"),
        ({"upscale.1.norm.bias": torch.full((24,), torch.nan)}, "NaN"),
    ],
)
def test_a_file_that_is_not_this_network_s_is_refused(tmp_path, changes, problem):
    path = save_as_the_authors_do(tmp_path / "marco.pth", random_head(), **changes)
    with pytest.raises(UserError, match=problem):
        load_head(path)


@pytest.mark.parametrize(
    ("shape", "problem"),
    [
        (HeadShape(16, {2: 4}, 1), "it is for tokens of 16 numbers, and those of .* have 24"),
        (HeadShape(24, {2: 4, 4: 4}, 1), "an adapter for block 4, and .* has blocks 0 to 3"),
    ],
)
def test_a_head_of_another_backbone_is_refused(folders, tmp_path, shape, problem):
    path = save_as_the_authors_do(tmp_path / "marco.pth", random_head(shape))
    with pytest.raises(UserError, match=problem):
        load_marco(folders["v2"], path)


@pytest.mark.parametrize(("size", "inner"), [((30, 40), (54, SIDE)), ((40, 30), (SIDE, 54))])
def test_a_picture_is_padded_with_zeros_after_normalisation(size, inner):
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    picture = PIL.Image.fromarray(noise)
    pixels = pad_at_corner(picture, SIDE)
    resized = picture.resize(inner, PIL.Image.Resampling.BILINEAR)
    expected = torch.zeros(3, SIDE, SIDE)
    colours = torch.from_numpy(np.array(resized)).permute(2, 0, 1).float() / 255
    expected[:, : inner[1], : inner[0]] = normalize_pixels(colours)
    assert torch.equal(pixels, expected)


@pytest.mark.parametrize("size", [(40, 30), (30, 40), (1, 300)])
@pytest.mark.parametrize("fit", ["pad", "stretch"])
def test_points_come_back_from_the_frame_of_the_input(fit, size):
    frame = input_frame(Size(*size), SIDE, fit)
    corners = np.array([[0.0, 0.0], [size[0], size[1]]])
    inside = frame.from_original(corners)
    longest = np.array([side * SIDE / max(size) for side in size]) if fit == "pad" else [SIDE, SIDE]
    np.testing.assert_allclose(inside, [[0, 0], longest])
    np.testing.assert_allclose(frame.to_original(inside), corners)
    assert preparation(SIDE, fit)(PIL.Image.new("RGB", size)).shape == (3, SIDE, SIDE)


@pytest.mark.parametrize("fit", ["pad", "stretch"])
def test_from_a_file_to_maps(folders, file, fit):
    spec = load_plugins().extractors["marco"]
    weights = {BACKBONE: folders["v2-registers"], SOURCE: file}
    assert spec.fed(weights) == (SIDE, SIDE)
    extractor = spec.make(MakeContext(params={"fit": fit}, weights=weights))
    pictures = [PIL.Image.new("RGB", size, colour) for size, colour in (((60, 40), "red"), ((9, 8), "blue"))]
    requests = [ImageRequest(picture, str(number), "cat") for number, picture in enumerate(pictures)]
    ahead = [
        ImageRequest(picture, str(number), "cat", prepared=extractor.prepare(picture))
        for number, picture in enumerate(pictures)
    ]
    for request, made, given in zip(
        requests, extractor.extract(requests), extractor.extract(ahead), strict=True
    ):
        assert torch.equal(made.data, given.data)
        assert made.data.shape == (24, 36, 36)
        assert made.frame == input_frame(request.size, SIDE, fit)
        assert made.grid is None
    network = load_marco(folders["v2-registers"], file)
    with torch.inference_mode():
        expected = network(extractor.prepare(pictures[1])[None])[0]
    torch.testing.assert_close(extractor.extract(requests)[1].data, expected)
    # Black is not what lies beside the picture.
    black = normalize_pixels(padded_batch(requests[:1], SIDE))[0]
    assert not torch.equal(black, extractor.prepare(pictures[0]))


def maps_of(cells=(9, 7), side=72):
    generator = torch.Generator().manual_seed(3)
    frame = Frame.padded(Size(120, 90), side, "corner")
    shape = (2, 16, cells[1], cells[0])
    return [FeatureMap(data, frame) for data in 4 * torch.randn(shape, generator=generator)]


POINTS = torch.tensor([[0.0, 0.0], [30.0, 20.0], [119.0, 89.0], [60.0, 45.0]], dtype=torch.float64)


def test_a_query_is_read_without_the_half_cell_and_a_prediction_is_laid_corner_to_corner():
    source, target = maps_of()
    located = MarcoTransfer()(source, target, POINTS)
    pixels = POINTS * (72 / 120)
    # The same features read by a frame without its last pixel, corner to corner, so that x w / W comes out.
    cells = pixels * torch.tensor([9 / 72, 7 / 72], dtype=torch.float64)
    inner = torch.tensor([8.0, 6.0], dtype=torch.float64)
    corner_pixels = cells.minimum(inner) / inner * 71 / (72 / 120)
    expected = KernelSoftmax(7.0, 10.0, None, False)(source, target, corner_pixels)
    torch.testing.assert_close(located.points, expected.points, atol=1e-4, rtol=0)
    torch.testing.assert_close(located.score, expected.score)


def test_a_query_may_be_read_as_cells_lie_that_tile_the_picture():
    source, target = maps_of()
    located = MarcoTransfer(half_pixel=True)(source, target, POINTS)
    tiled = FeatureMap(source.data, source.frame, "patch-centre")
    expected = KernelSoftmax(7.0, 10.0, None, False)(tiled, target, POINTS)
    torch.testing.assert_close(located.points, expected.points, atol=1e-4, rtol=0)
    assert (located.points - MarcoTransfer()(source, target, POINTS).points).abs().max() > 0.1


def test_lengths_count_unless_features_are_normalised():
    source, target = maps_of()
    longer = FeatureMap(3 * target.data, target.frame)
    for normalize in (False, True):
        transfer = MarcoTransfer(normalize=normalize)
        moved = transfer(source, longer, POINTS).points - transfer(source, target, POINTS).points
        assert bool(moved.abs().max() > 0.05) is not normalize


def test_a_volume_of_the_same_products_gives_the_same_points():
    source, target = maps_of()
    lattice = Lattice(source.frame, source.cells, None)
    volume = torch.einsum("cyx,cvu->yxvu", source.data, target.data)
    read = MarcoTransfer().read(Matches(lattice, lattice, volume=volume), POINTS)
    called = MarcoTransfer()(source, target, POINTS)
    torch.testing.assert_close(read.points, called.points, atol=1e-4, rtol=0)
    torch.testing.assert_close(read.score, called.score)
    (batched,) = MarcoTransfer().many([(source, target, POINTS)])
    torch.testing.assert_close(batched.points, called.points, atol=1e-4, rtol=0)


def test_a_map_s_own_grid_says_where_predictions_lie():
    source, target = maps_of()
    declared = FeatureMap(target.data, target.frame, PatchGrid(8, 8))
    corner = MarcoTransfer()(source, target, POINTS).points[:, 0] * 0.6 / 71 * 8
    own = (MarcoTransfer()(source, declared, POINTS).points[:, 0] * 0.6 - 4) / 8
    torch.testing.assert_close(own, corner)


def test_the_small_file_is_what_its_record_says():
    source = load_plugins().weight_sources["tiny-marco"]
    path = source.locate()
    record = json.loads(path.with_suffix(".json").read_text())
    assert record["files"]["best.safetensors"] == file_sha256(path)
    assert path.stat().st_size < 1e6
    assert record["trained_parameters"] == sum(part.numel() for part in load_head(path).parameters())
    published = load_plugins().weight_sources["marco"]
    assert published.stand_in == "tiny-marco"
    assert published.training(path) == ("shapes", ("shapes/val",))


def test_it_runs_on_shapes_with_what_comes_with_the_package(bench, tmp_path):
    # Without the option, a pair's pictures would be encoded with the rest of their batches.
    words = ("run", "--methods", "marco", "--limit", 1, "--batch-size", 1)
    done = bench(*words, "--weights", "tiny", "--out", tmp_path / "cells")
    assert done.status == 0, done.err
    wrong = bench(*words, "--set", "fit=crop", "--out", tmp_path / "other")
    assert wrong.status == 2
    assert "crop" in wrong.complaint
