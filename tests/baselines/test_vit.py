"""The DINO backbone, by small random networks of every architecture: features, grids, damaged folders."""

from __future__ import annotations

import shutil
from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F
from support.vision_transformers import drop_tensors, rewrite_config, save_network

from baselines.vit.backbone import VisionTransformer
from harness.errors import UserError

pytestmark = pytest.mark.usefixtures("one_thread")


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
    """Patches by a convolution of that stride; learned positions interpolated to its grid, bicubically.

    Without registers a tenth of a cell is added to the grid, as in the code of DINO and DINOv2.
    """
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
    size = {"size": (15, 9), "antialias": True}
    if kind != "v2-registers":
        size = {"scale_factor": (15.1 / 6, 9.1 / 6)}
    positions = F.interpolate(square, mode="bicubic", align_corners=False, **size)
    expected = (patches + positions).flatten(2).transpose(1, 2)
    torch.testing.assert_close(seen[1][:, vit.card.prefix :], expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        seen[1][:, 0], (embeddings.cls_token + embeddings.position_embeddings[:, :1])[0].expand(2, -1)
    )
    assert torch.equal(vit.features(pixels, 1), before), "the stride outlived its call"


def cubic(distance):
    """Weight of a sample at a distance in cells (Keys, a = -0.75)."""
    near, a = abs(distance), -0.75
    if near <= 1:
        return (a + 2) * near**3 - (a + 3) * near**2 + 1
    if near < 2:
        return a * near**3 - 5 * a * near**2 + 8 * a * near - 4 * a
    return 0.0


def interpolated(learned, count, offset):
    """(count, C) of positions (n, C) along one axis; beyond the border lie copies of the last ones."""
    n, rows = len(learned), []
    for index in range(count):
        at = (index + 0.5) * n / (count + offset) - 0.5
        taps = range(int(at // 1) - 1, int(at // 1) + 3)
        rows.append(sum(cubic(at - tap) * learned[min(max(tap, 0), n - 1)] for tap in taps))
    return torch.stack(rows)


@pytest.mark.parametrize("kind", ["v1", "v2"])
@pytest.mark.parametrize(("chosen", "offset"), [(None, 0.1), (0.1, 0.1), (0.0, 0.0), (0.4, 0.4)])
def test_positions_lie_where_the_authors_have_them(folders, kind, chosen, offset):
    vit, seen = VisionTransformer(folders[kind], position_offset=chosen), []
    vit.model.embeddings.register_forward_hook(lambda module, inputs, output: seen.append(output))
    vit.features(pictures(), 0)
    embeddings = vit.model.embeddings
    patches = embeddings.patch_embeddings.projection(pictures()).flatten(2).transpose(1, 2)
    square = embeddings.position_embeddings[0, 1:].reshape(6, 6, 24)
    down = interpolated(square.double(), 8, offset)
    across = interpolated(down.transpose(0, 1), 5, offset).transpose(0, 1)
    expected = patches + across.reshape(1, 40, 24)
    torch.testing.assert_close(seen[0][:, 1:].double(), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["v1", "v2", "v2-registers"])
def test_a_picture_of_native_size_has_the_learned_positions(folders, kind):
    at_native = pictures(1, 48, 48)
    exact, moved = (VisionTransformer(folders[kind], position_offset=offset) for offset in (0.0, 0.5))
    assert torch.equal(exact.features(at_native, 1), moved.features(at_native, 1))
    assert not torch.equal(exact.features(pictures(), 1), moved.features(pictures(), 1))


@pytest.mark.parametrize("kind", ["v2-registers", "v3"])
def test_registers_and_rotary_positions_have_no_offset(folders, kind):
    default, exact = VisionTransformer(folders[kind]), VisionTransformer(folders[kind], position_offset=0.0)
    assert torch.equal(default.features(pictures(), 1), exact.features(pictures(), 1))


@pytest.mark.parametrize("offset", [-0.1, 1.0, float("nan"), float("inf")])
def test_an_offset_that_is_no_part_of_a_cell_is_refused(folders, offset):
    with pytest.raises(UserError, match="from 0 to less than 1"):
        VisionTransformer(folders["v2"], position_offset=offset)


def test_rotary_positions_take_no_offset(folders):
    with pytest.raises(UserError, match="has rotary positions"):
        VisionTransformer(folders["v3"], position_offset=0.1)


def test_rotary_positions_of_a_denser_grid_are_patch_centres(tmp_path):
    """With a stride of a third of the patch, inner centres are those of patches a third as large."""
    vit, seen = VisionTransformer(save_network(tmp_path, "v3", patch_size=6, image_size=24)), []
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


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "config.json").unlink(), "No such file"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json"),
        (lambda folder: (folder / "config.json").write_text("[]"), "not a JSON object"),
        (lambda folder: (folder / "config.json").write_text("{}"), "model_type is 'missing'"),
        (
            lambda folder: rewrite_config(folder / "config.json", model_type="clip"),
            "model_type is 'clip', not that of a DINO",
        ),
        (
            lambda folder: rewrite_config(folder / "config.json", patch_size=[8, 16]),
            "not the size of a square",
        ),
        (
            lambda folder: rewrite_config(folder / "config.json", hidden_size="wide"),
            "hidden_size is 'wide', not a number",
        ),
        (
            lambda folder: rewrite_config(folder / "config.json", num_attention_heads="two"),
            "num_attention_heads",
        ),
        (lambda folder: rewrite_config(folder / "config.json", hidden_size=48), "copy or fetch"),
        (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"x" * 100), "copy or fetch"),
        (
            lambda folder: drop_tensors(folder, "cls_token"),
            "1 of its [0-9]+ tensors is missing, embeddings.cls_token",
        ),
        (
            lambda folder: drop_tensors(folder, ("k_proj.weight", "key.weight")),
            "4 of its [0-9]+ tensors are missing",
        ),
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


def test_an_unused_mask_token_may_be_missing(folders, tmp_path):
    shutil.copytree(folders["v2"], tmp_path / "w")
    drop_tensors(tmp_path / "w", "mask_token")
    assert torch.equal(
        VisionTransformer(tmp_path / "w").features(pictures(), 3),
        VisionTransformer(folders["v2"]).features(pictures(), 3),
    )
