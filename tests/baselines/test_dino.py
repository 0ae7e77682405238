"""DINO backbones, by small random networks of every architecture: features, grids, damaged folders."""

from __future__ import annotations

import json
import shutil
import types
from fractions import Fraction

import numpy as np
import PIL.Image
import pytest
import torch
import torch.nn.functional as F
import transformers
from hypothesis import given
from hypothesis import strategies as st
from support.photos import draw
from support.results import the_record

import harness.cli
from baselines.methods import dino as dino_methods
from baselines.networks.loading import quiet
from baselines.networks.pixels import normalize_pixels
from baselines.vit.backbone import VisionTransformer
from baselines.vit.card import VitCard
from harness.errors import UserError
from harness.frames import Frame, PatchGrid, Size, cells_to_pixels, pixels_to_cells
from harness.hookspecs import hookimpl
from harness.localizers.on_grid import Argmax
from harness.localizers.original_resolution import ArgmaxOriginal
from harness.plugins.loading import load_plugins
from harness.preprocess import padded_batch
from harness.specs import ExtractorSpec, FeatureMap, ImageRequest, MakeContext

SIZES = {
    "hidden_size": 24,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "image_size": 48,
    "patch_size": 8,
}

NETWORKS = {
    "v1": (transformers.ViTModel, transformers.ViTConfig(**SIZES, intermediate_size=48)),
    "v2": (transformers.Dinov2Model, transformers.Dinov2Config(**SIZES)),
    "v2-registers": (
        transformers.Dinov2WithRegistersModel,
        transformers.Dinov2WithRegistersConfig(**SIZES, num_register_tokens=3),
    ),
    "v3": (
        transformers.DINOv3ViTModel,
        transformers.DINOv3ViTConfig(**SIZES, intermediate_size=48, num_register_tokens=2),
    ),
}

WEIGHTS = {"dinov1": "dino-vits8", "dinov2": "dinov2-base", "dinov3": "dinov3-vitb16"}

KINDS = {"dinov1": "v1", "dinov2": "v2", "dinov3": "v3"}


def save(folder, kind, scale=0.3, only="", **changes):
    """Saves a random network; noise on top of it lets positions, norms and scales all matter."""
    torch.manual_seed(0)
    network, config = NETWORKS[kind]
    model = network(config.__class__(**{**config.to_dict(), **changes}))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if only in name:
                parameter.add_(scale * torch.randn(parameter.shape))
    with quiet():
        model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Networks this small lose more time to waiting for threads than they win by them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return {kind: save(tmp_path_factory.mktemp(kind), kind) for kind in NETWORKS}


@pytest.fixture(params=NETWORKS)
def folder(folders, request):
    return folders[request.param]


def full(vit, pixels):
    """All outputs of the network: hidden states and the last one after the norm."""
    options = {"interpolate_pos_encoding": True} if vit.card.architecture == "ViTModel" else {}
    with torch.no_grad():
        return vit.model(pixels, output_hidden_states=True, **options)


def as_map(states, prefix, rows, columns):
    return states[:, prefix:].reshape(len(states), rows, columns, -1).permute(0, 3, 1, 2)


def pictures(number=2, height=64, width=40):
    return torch.randn(number, 3, height, width, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("size", [(48, 48), (64, 40)])
def test_stopping_early_changes_no_bit(folder, size):
    vit, pixels = VisionTransformer(folder), pictures(2, *size)
    everything = full(vit, pixels)
    prefix = {"ViTModel": 1, "Dinov2Model": 1, "Dinov2WithRegistersModel": 4, "DINOv3ViTModel": 3}[
        vit.card.architecture
    ]
    rows, columns = size[0] // 8, size[1] // 8
    for layer in range(4):
        expected = as_map(everything.hidden_states[layer + 1], prefix, rows, columns)
        assert torch.equal(vit.features(pixels, layer), expected)
        assert torch.equal(vit.features(pixels, layer - 4), expected)
    assert torch.equal(
        vit.features(pixels, 3, "token-norm"), as_map(everything.last_hidden_state, prefix, rows, columns)
    )
    assert not torch.equal(vit.features(pixels, 3, "token-norm"), vit.features(pixels, 3))


def test_nothing_is_computed_after_what_is_read(folder):
    vit, called = VisionTransformer(folder), []
    blocks = next(module for module in vit.model.modules() if isinstance(module, torch.nn.ModuleList))
    for number, block in enumerate(blocks):
        block.register_forward_hook(lambda *_, number=number: called.append(number))
        block.mlp.register_forward_pre_hook(lambda *_, number=number: called.append(f"mlp {number}"))
    vit.features(pictures(), 1)
    assert called == ["mlp 0", 0, "mlp 1", 1]
    called.clear()
    vit.features(pictures(), 1, "key")
    assert called == ["mlp 0", 0]


@pytest.mark.parametrize("facet", ["key", "query", "value"])
def test_facets_are_the_projections_of_the_normed_input(folder, facet):
    vit, pixels = VisionTransformer(folder), pictures()
    block = next(module for module in vit.model.modules() if isinstance(module, torch.nn.ModuleList))[2]
    norm = block.layernorm_before if vit.card.architecture == "ViTModel" else block.norm1
    projection = getattr(block.attention, {"key": "k_proj", "query": "q_proj", "value": "v_proj"}[facet])
    states = full(vit, pixels).hidden_states[2]
    normed = F.layer_norm(states, (24,), norm.weight, norm.bias, norm.eps)
    expected = F.linear(normed, projection.weight, projection.bias)
    torch.testing.assert_close(
        vit.features(pixels, 2, facet), as_map(expected, vit.card.prefix, 8, 5), atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("stride", [8, 4, 2])
def test_only_the_cells_whose_patch_changed_change(folder, stride):
    """Values of the first block depend on their own patch alone.

    A class token or register among them would shift the map by positions.
    """
    vit = VisionTransformer(folder)
    dark = torch.zeros(1, 3, 64, 40)
    bright = dark.clone()
    bright[:, :, 24:32, 16:24] = 1.0
    before, after = (vit.features(pixels, 0, "value", stride) for pixels in (dark, bright))
    changed = {(int(row), int(column)) for row, column in (before != after).any(dim=1)[0].nonzero()}
    rows, columns = 1 + 56 // stride, 1 + 32 // stride
    assert before.shape == (1, 24, rows, columns)
    touching = {
        (row, column)
        for row in range(rows)
        for column in range(columns)
        if abs(row * stride - 24) < 8 and abs(column * stride - 16) < 8
    }
    assert changed == touching


def test_features_do_not_depend_on_the_batch(folder):
    vit, pixels = VisionTransformer(folder), pictures(5)
    together = vit.features(pixels, 3, stride=4)
    for number in range(5):
        alone = vit.features(pixels[number : number + 1], 3, stride=4)[0]
        assert (together[number] - alone).abs().max() <= 1e-5 * alone.abs().max()


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
@pytest.mark.parametrize("stride", [8, 4])
def test_half_precision_is_near(folder, precision, stride):
    pixels = pictures()
    exact = VisionTransformer(folder).features(pixels, 2, stride=stride)
    half = VisionTransformer(folder, precision=precision).features(pixels, 2, stride=stride)
    assert half.dtype == {"fp16": torch.float16, "bf16": torch.bfloat16}[precision]
    cosine = F.cosine_similarity(exact, half.float(), dim=1)
    assert cosine.min() > {"fp16": 0.999, "bf16": 0.98}[precision]


@pytest.mark.parametrize("kind", ["v1", "v2", "v2-registers"])
def test_strided_positions_follow_the_rule_of_dino_vit_features(folders, kind):
    """Patches by a convolution of that stride; learned positions interpolated to its grid, bicubically."""
    vit, pixels, stride, seen = VisionTransformer(folders[kind]), pictures(), 4, []
    hook = vit.model.embeddings.register_forward_hook(lambda module, inputs, output: seen.append(output))
    before = vit.features(pixels, 1)
    strided = vit.features(pixels, 1, stride=stride)
    hook.remove()
    assert strided.shape == (2, 24, 15, 9)

    embeddings = vit.model.embeddings
    convolution = embeddings.patch_embeddings.projection
    patches = F.conv2d(pixels, convolution.weight, convolution.bias, stride=stride)
    square = embeddings.position_embeddings[:, 1:].reshape(1, 6, 6, 24).permute(0, 3, 1, 2)
    # DINOv2 with registers was trained with antialiasing, which in torch is another cubic.
    positions = F.interpolate(
        square, size=(15, 9), mode="bicubic", align_corners=False, antialias=kind == "v2-registers"
    )
    expected = (patches + positions).flatten(2).transpose(1, 2)
    torch.testing.assert_close(seen[1][:, vit.card.prefix :], expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        seen[1][:, 0], (embeddings.cls_token + embeddings.position_embeddings[:, :1])[0].expand(2, -1)
    )
    assert torch.equal(vit.features(pixels, 1), before), "the stride outlived its call"


def test_positions_of_whole_patches_are_the_models_own(folders):
    vit, seen = VisionTransformer(folders["v2"]), []
    vit.model.embeddings.register_forward_hook(lambda module, inputs, output: seen.append(output))
    vit.features(pictures(), 0)
    embeddings = vit.model.embeddings
    patches = embeddings.patch_embeddings(pictures())
    square = embeddings.position_embeddings[:, 1:].reshape(1, 6, 6, 24).permute(0, 3, 1, 2)
    positions = (
        F.interpolate(square, size=(8, 5), mode="bicubic", align_corners=False).flatten(2).transpose(1, 2)
    )
    torch.testing.assert_close(seen[0][:, 1:], patches + positions, atol=1e-5, rtol=1e-5)


def test_rotary_positions_of_a_denser_grid_are_patch_centres(tmp_path):
    """With a stride of a third of the patch, inner centres are those of patches a third as large."""
    vit, seen = VisionTransformer(save(tmp_path, "v3", patch_size=6, image_size=24)), []
    blocks = next(module for module in vit.model.modules() if isinstance(module, torch.nn.ModuleList))
    blocks[0].register_forward_pre_hook(
        lambda module, args, options: seen.append(options["position_embeddings"]), with_kwargs=True
    )
    vit.features(torch.zeros(1, 3, 24, 36), 1, stride=2)
    finer = vit.model.rope_embeddings(torch.zeros(1, 3, 3 * 24, 3 * 36))
    for angles, expected in zip(seen[0], finer, strict=True):
        torch.testing.assert_close(
            angles, expected.reshape(12, 18, -1)[1:-1, 1:-1].flatten(0, 1), atol=1e-6, rtol=1e-5
        )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda vit: vit.features(torch.zeros(1, 3, 60, 48)),
            "48 x 60 pixels is not a whole number of patches of 8",
        ),
        (
            lambda vit: vit.features(torch.zeros(1, 3, 48, 48), stride=3),
            "a stride of 3 pixels does not divide the patch of 8",
        ),
        (
            lambda vit: vit.features(torch.zeros(1, 3, 48, 48), 4),
            "layer 4 of a backbone that has layers 0 to 3",
        ),
        (lambda vit: vit.features(torch.zeros(1, 3, 48, 48), -5), "layer -5 of a backbone"),
        (
            lambda vit: vit.features(torch.zeros(1, 3, 48, 48), 2, "token-norm"),
            "'token-norm' is the last layer's, 3",
        ),
        (
            lambda vit: vit.features(torch.zeros(1, 3, 48, 48), 2, "tokens"),
            "unknown facet 'tokens'; known: token,",
        ),
        (
            lambda vit: vit.card.stride(Fraction(1, 3)),
            "a stride of 1/3 patches of 8 pixels is 2.66667 pixels",
        ),
        (lambda vit: vit.card.stride(Fraction(2)), "which does not divide the patch"),
    ],
)
def test_what_does_not_fit_is_refused(folders, call, message):
    with pytest.raises(UserError, match=message):
        call(VisionTransformer(folders["v2"]))


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
    folder = save(
        tmp_path,
        KINDS[method],
        scale=1.0,
        only="position_embeddings" if known_by_place else "cls_token",
        image_size=96,
    )
    done = bench("doctor", method, "--weights", f"{WEIGHTS[method]}={folder}")
    troubles = [line for line in done.out.splitlines() if "✗" in line]
    assert done.out.count("✓") + len(troubles) == 8
    assert done.err == ""
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
        host = load_plugins(blocked, found=[])
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


def rewrite(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def without(folder, ending):
    """Removes the tensors with names of that ending."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    remaining = {name: tensor for name, tensor in tensors.items() if not name.endswith(ending)}
    assert len(remaining) < len(tensors)
    save_file(remaining, folder / "model.safetensors", {"format": "pt"})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "config.json").unlink(), "No such file"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json"),
        (lambda folder: (folder / "config.json").write_text("[]"), "model_type is 'missing'"),
        (
            lambda folder: rewrite(folder / "config.json", model_type="clip"),
            "model_type is 'clip', not that of a DINO",
        ),
        (lambda folder: rewrite(folder / "config.json", patch_size=[8, 16]), "not the size of a square"),
        (
            lambda folder: rewrite(folder / "config.json", hidden_size="wide"),
            "not the configuration of a vision transformer",
        ),
        (lambda folder: rewrite(folder / "config.json", num_attention_heads="two"), "num_attention_heads"),
        (lambda folder: rewrite(folder / "config.json", hidden_size=48), "copy or fetch"),
        (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"x" * 100), "copy or fetch"),
        (lambda folder: without(folder, "cls_token"), "1 of its weights are missing, embeddings.cls_token"),
        (lambda folder: without(folder, ("k_proj.weight", "key.weight")), "4 of its weights are missing"),
    ],
)
@pytest.mark.parametrize("kind", ["v1", "v3"])
def test_a_damaged_folder_is_told_in_one_line(folders, tmp_path, capfd, kind, damage, message):
    folder = tmp_path / "weights"
    shutil.copytree(folders[kind], folder)
    damage(folder)
    with pytest.raises(UserError, match=message) as caught:
        VisionTransformer(folder)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_a_damaged_configuration_stops_a_run_before_it_begins(bench, folders, photos, tmp_path):
    shutil.copytree(folders["v2"], tmp_path / "w")
    rewrite(tmp_path / "w" / "config.json", model_type="bert")
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


def test_an_unused_mask_token_may_be_missing(folders, tmp_path):
    shutil.copytree(folders["v2"], tmp_path / "w")
    without(tmp_path / "w", "mask_token")
    assert torch.equal(
        VisionTransformer(tmp_path / "w").features(pictures(), 3),
        VisionTransformer(folders["v2"]).features(pictures(), 3),
    )
