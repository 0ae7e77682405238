"""Vision transformers as files of the authors' own names: what is read, and what is refused."""

from __future__ import annotations

import numpy as np
import PIL.Image
import pytest
import torch
from safetensors.torch import save_file

from baselines.vit.backbone import VisionTransformer
from baselines.vit.timm_files import TimmFile, read_card
from harness.errors import UserError
from harness.plugins.loading import load_plugins
from harness.specs import ImageRequest, MakeContext

pytestmark = pytest.mark.usefixtures("one_thread")

WIDTH, HIDDEN, PATCH, SIDE, LAYERS = 64, 96, 4, 4, 2


def picture(size):
    """Smooth colour noise."""
    coarse = np.random.default_rng(3).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return PIL.Image.fromarray(coarse).resize(size, PIL.Image.Resampling.BICUBIC)


def tensors_of(width=WIDTH):
    torch.manual_seed(0)
    shapes = {
        "cls_token": (1, 1, width),
        "pos_embed": (1, 1 + SIDE**2, width),
        "patch_embed.proj.weight": (width, 3, PATCH, PATCH),
        "patch_embed.proj.bias": (width,),
        "norm.weight": (width,),
        "norm.bias": (width,),
    }
    for block in range(LAYERS):
        start = f"blocks.{block}"
        for name, rows, columns in (
            ("attn.qkv", 3 * width, width),
            ("attn.proj", width, width),
            ("mlp.fc1", HIDDEN, width),
            ("mlp.fc2", width, HIDDEN),
        ):
            shapes[f"{start}.{name}.weight"], shapes[f"{start}.{name}.bias"] = (rows, columns), (rows,)
        for name in ("norm1", "norm2"):
            shapes[f"{start}.{name}.weight"] = shapes[f"{start}.{name}.bias"] = (width,)
    return {name: 0.3 * torch.randn(shape) for name, shape in shapes.items()}


def save(path, content):
    torch.save(content, path)
    return path


PIXELS = torch.randn(2, 3, 24, 20, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda tensors: tensors,
        lambda tensors: {"state_dict": tensors, "epoch": 800},
        lambda tensors: {
            "teacher": {f"backbone.{name}": tensor for name, tensor in tensors.items()},
            "student": {f"module.backbone.{name}": torch.zeros_like(part) for name, part in tensors.items()},
        },
        lambda tensors: {"state_dict": {**tensors, "masked_embed": torch.ones(1, WIDTH)}},
    ],
    ids=["raw", "wrapped", "teacher", "mask"],
)
def test_every_form_gives_the_same_features(tmp_path, wrap):
    network = VisionTransformer(save(tmp_path / "checkpoint_teacher.pth", wrap(tensors_of())))
    plain = tmp_path / "plain.safetensors"
    save_file(tensors_of(), plain)
    expected = VisionTransformer(plain).features(PIXELS, -1, "token-norm")
    assert torch.equal(network.features(PIXELS, -1, "token-norm"), expected)
    assert expected.shape == (2, WIDTH, 6, 5)


def test_sizes_follow_from_the_tensors(tmp_path):
    path = save(tmp_path / "a.pth", tensors_of())
    card = read_card(path)
    assert (card.native, card.patch, card.layers, card.width, card.prefix) == (16, PATCH, LAYERS, WIDTH, 1)
    assert TimmFile.read(path).heads() == 1
    assert TimmFile.read(path).heads(4) == 4


@pytest.mark.parametrize("heads", [3, 0, 65])
def test_a_number_of_heads_that_does_not_fit_is_told(tmp_path, heads):
    with pytest.raises(UserError, match=r"a.pth: 64 channels are not cut into \d+ attention heads"):
        VisionTransformer(save(tmp_path / "a.pth", tensors_of()), heads=heads)


def test_a_width_of_no_published_head_asks_for_the_number(tmp_path):
    path = save(tmp_path / "a.pth", tensors_of(48))
    with pytest.raises(UserError, match=r"48 channels are not cut into .*--set heads=NUMBER"):
        VisionTransformer(path)
    assert VisionTransformer(path, heads=4).features(PIXELS).shape == (2, 48, 6, 5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda state: state.pop("blocks.1.attn.qkv.bias"),
            "is missing, blocks.1.attn.qkv.bias",
        ),
        (lambda state: state.update({"norm.bias": torch.ones(3)}), "norm.bias has the shape"),
        (lambda state: state.update({"blocks.0.ls1.gamma": torch.ones(3)}), "blocks.0.ls1.gamma"),
        (
            lambda state: state.pop("patch_embed.proj.weight"),
            "no vision transformer: no tensor is called",
        ),
        (lambda state: state.pop("pos_embed"), "pos_embed or .* is missing"),
        (lambda state: state.update({"pos_embed": torch.ones(1, 16, WIDTH)}), "pos_embed has 16 positions"),
        (lambda state: state["norm.bias"].fill_(float("inf")), "NaN or infinite"),
    ],
)
def test_another_network_is_refused_by_name(tmp_path, change, message):
    state = tensors_of()
    change(state)
    with pytest.raises(UserError, match=message) as told:
        VisionTransformer(save(tmp_path / "checkpoint_teacher.pth", state))
    assert str(tmp_path / "checkpoint_teacher.pth") in str(told.value)
    assert "\n" not in str(told.value)


def test_the_method_reads_a_file_and_a_folder(tmp_path):
    spec = load_plugins().extractors["ibot"]
    path = save(tmp_path / "checkpoint_teacher.pth", {"state_dict": tensors_of()})
    weights = {"ibot-base": path}
    # Twice the native size.
    assert spec.fed(weights) == (32, 32)
    extractor = spec.make(MakeContext(params={**spec.params, "heads": 2}, weights=weights))
    (one,) = extractor.extract([ImageRequest(picture((40, 30)), "a", "thing")])
    assert one.data.shape == (WIDTH, 8, 8)
    other = spec.make(MakeContext(params=spec.params, weights=weights))
    assert not torch.allclose(
        other.extract([ImageRequest(picture((40, 30)), "a", "thing")])[0].data, one.data, atol=1e-4
    )


def test_the_bundled_stand_in_matches_objects(bench, tmp_path):
    done = bench("run", "--methods", "ibot", "--limit", 2, "--out", tmp_path / "cells")
    assert done.status == 0, done.err
    assert "tiny-dino" in done.out
