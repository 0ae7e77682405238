"""SD+DINO and its implicit captioner: crops, joint principal components, prompts made from images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from safetensors.torch import save_file
from support.paths import PIPELINE
from transformers import Dinov2Config, Dinov2Model

from baselines.methods.sd_dino import (
    EXTRACTORS,
    LEVELS,
    SDDino,
    principal_components,
    square_side,
)
from baselines.prompts.implicit_captioner import ImplicitCaptioner, load_captioner, make_prompt
from baselines.sources import CAPTIONER, CLIP_IMAGE_ENCODER, DINOV2, STABLE_DIFFUSION_1_5
from baselines.stable_diffusion.conditioning import EmptyTextPlus
from baselines.stable_diffusion.decoder_states import assemble_crops
from harness.errors import NotApplicable, UserError
from harness.specs import ImageRequest, MakeContext, SharedObjects


@pytest.fixture(scope="module")
def vit(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("vit")
    config = Dinov2Config(
        hidden_size=24, num_hidden_layers=2, num_attention_heads=2, image_size=56, patch_size=14
    )
    Dinov2Model(config).save_pretrained(folder)
    return folder


def request(seed: int, prompt: object = "") -> ImageRequest:
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 18, 3), dtype=np.uint8)
    return ImageRequest(PIL.Image.fromarray(pixels).resize((90, 60)), f"image {seed}", "cat", prompt)


def extractor(vit: Path, dino: bool, shared: SharedObjects | None = None) -> SDDino:
    params = {**EXTRACTORS[0].params, "dino": dino}
    weights = {STABLE_DIFFUSION_1_5: PIPELINE, DINOV2: vit}
    return SDDino(MakeContext(params=params, weights=weights, shared=shared or SharedObjects()))


def test_published_sizes():
    assert square_side(512, 64) == 960
    assert square_side(512, 64) - 512 == 448


def test_crops_are_averaged_where_they_overlap():
    crops = torch.arange(4.0)[:, None, None, None].expand(4, 2, 3, 3)
    whole = assemble_crops(crops, [(0, 0), (0, 16), (16, 0), (16, 16)], side=40, stride=8)
    assert whole.shape == (2, 5, 5)
    assert whole[0, 0].tolist() == [0, 0, 0.5, 1, 1]
    assert whole[0, 2].tolist() == [1, 1, 1.5, 2, 2]
    assert whole[1, 4].tolist() == [2, 2, 2.5, 3, 3]


def test_principal_components_are_those_of_both_images_together():
    torch.manual_seed(0)
    source, target = torch.randn(12, 4, 5), torch.randn(12, 3, 6) + 1
    of_source, of_target = principal_components(source, target, 5)
    positions = torch.cat([source.flatten(1), target.flatten(1)], dim=1).T
    u, s, _ = torch.linalg.svd(positions - positions.mean(dim=0), full_matrices=False)
    expected = u[:, :5] * s[:5]
    projected = torch.cat([of_source.flatten(1), of_target.flatten(1)], dim=1).T
    # Directions have no sign: distances between cells are what counts.
    torch.testing.assert_close(projected @ projected.T, expected @ expected.T, rtol=0, atol=1e-4)
    assert (of_source.shape, of_target.shape) == ((5, 4, 5), (5, 3, 6))


def test_fewer_channels_than_components_are_all_kept():
    source, target = torch.randn(6, 4, 4), torch.randn(6, 4, 4)
    assert principal_components(source, target, 256)[0].shape == (6, 4, 4)


def test_decoder_states_are_those_before_the_skip_connection(vit):
    """Each equals the first channels of the next layer's input; the skip connection follows them."""
    make = extractor(vit, dino=False)
    card, noisy = make.backbone.card, torch.randn(1, 4, 8, 8)
    prompt = [make.backbone.condition("")]
    submodules = [card.levels[level] for level in reversed(LEVELS)]
    states = make.backbone.activations(noisy, 100, prompt, submodules)
    inputs_of_resnet = {}
    for number, level in enumerate(("s5", "s4", "s3")):
        block = make.backbone.unet.up_blocks[number]
        hook = block.resnets[-1].register_forward_pre_hook(
            lambda module, inputs, level=level: inputs_of_resnet.update({level: inputs[0]})
        )
        make.backbone.activations(noisy, 100, prompt, [f"up_blocks.{number}"])
        hook.remove()
    for level in LEVELS:
        state = states[card.levels[level]]
        torch.testing.assert_close(inputs_of_resnet[level][:, : state.shape[1]], state, rtol=0, atol=1e-5)
        assert inputs_of_resnet[level].shape[1] > state.shape[1]
        assert 64 // state.shape[-1] == card.strides[level]


@pytest.mark.parametrize("dino", [False, True])
def test_maps_of_a_pair(vit, dino):
    make = extractor(vit, dino)
    source = make.extract_pairs([(request(1), request(2))])[0][0]
    assert source.data.shape[1:] == (8, 8)
    assert source.frame.size == (128, 128)
    assert source.grid == "patch-centre"
    alone = extractor(vit, dino).extract_pairs([(request(1), request(2)), (request(3), request(1))])[0][0]
    torch.testing.assert_close(source.data, alone.data, rtol=0, atol=1e-4)
    if dino:
        halves = source.data.split([source.data.shape[0] - 24, 24])
        for half in halves:
            torch.testing.assert_close(half.norm(dim=0), torch.ones(8, 8), rtol=0, atol=1e-4)
    assert not torch.equal(source.data, make.extract_pairs([(request(1), request(3))])[0][0].data)


def test_the_global_random_stream_is_left_alone(vit):
    state = torch.get_rng_state()
    extractor(vit, dino=True).extract_pairs([(request(1), request(2))])
    assert torch.equal(state, torch.get_rng_state())


def test_states_are_computed_once_for_an_image_and_prompt(vit, monkeypatch):
    make, called = extractor(vit, dino=False), []

    def count_calls(name):
        original = getattr(make.backbone, name)
        monkeypatch.setattr(
            make.backbone, name, lambda *arguments: (called.append(name), original(*arguments))[1]
        )

    count_calls("posterior")
    count_calls("activations")
    shifts = [EmptyTextPlus(torch.full((77, 8), value), torch.zeros(64)) for value in (0.0, 0.0, 1.0)]
    features, same, different = (
        make.extract_pairs([(request(1, shift), request(2, shift))])[0][0].data for shift in shifts
    )
    # Two images under two prompts; what the encoder makes of an image does not depend on the prompt.
    assert (called.count("posterior"), called.count("activations")) == (2, 4)
    assert torch.equal(features, same)
    assert not torch.equal(features, different)


def test_what_one_method_computed_serves_the_next(vit, monkeypatch):
    shared = SharedObjects()
    star = extractor(vit, dino=False, shared=shared)
    alone = star.extract_pairs([(request(1), request(2))])[0][0].data
    joint = extractor(vit, dino=True, shared=shared)
    assert joint.backbone is star.backbone
    monkeypatch.setattr(joint.backbone, "activations", lambda *arguments: pytest.fail("computed again"))
    joined = joint.extract_pairs([(request(1), request(2))])[0][0].data
    torch.testing.assert_close(joined[: len(alone)], torch.nn.functional.normalize(alone, dim=0))


def test_changed_weights_are_loaded_anew(tmp_path):
    from shutil import copytree

    from baselines.stable_diffusion.shared import shared_backbone

    folder = copytree(PIPELINE, tmp_path / "pipeline")
    context = MakeContext()
    backbone, memory = shared_backbone(context, folder, 1 << 20)
    assert shared_backbone(context, folder, 1 << 20) == (backbone, memory)
    assert shared_backbone(MakeContext(), folder, 1 << 20)[0] is not backbone
    (folder / "unet" / "config.json").touch()
    assert shared_backbone(context, folder, 1 << 20)[0] is not backbone


def test_no_more_is_kept_than_may_be():
    from harness.caching.lru import ByteLRU, tensor_bytes

    memory, computed = ByteLRU(3 * 400, tensor_bytes, at_least=2), []

    def ask(key):
        return memory.once(key, lambda: (computed.append(key), {"x": torch.zeros(100)})[1])

    for key in ("a", "b", "c", "a", "d", "a", "b"):
        ask(key)
    assert computed == ["a", "b", "c", "d", "b"]


@pytest.fixture
def captioner():
    torch.manual_seed(1)
    network = ImplicitCaptioner(24, 8, 64)
    with torch.no_grad():
        network.gate.copy_(torch.randn(1, 77, 8))
        network.time_gate.copy_(torch.randn(64))
    return network


def context(tmp_path: Path, vit: Path) -> MakeContext:
    return MakeContext(weights={CAPTIONER: tmp_path, CLIP_IMAGE_ENCODER: vit, STABLE_DIFFUSION_1_5: PIPELINE})


def test_gated_sum(captioner):
    embedding = torch.randn(3, 24)
    states, time = captioner(embedding)
    expected = torch.tanh(captioner.gate[0]) * (
        embedding[1] @ captioner.project.weight.T + captioner.project.bias + captioner.position[0]
    )
    torch.testing.assert_close(states[1], expected)
    assert time.shape == (3, 64)


@pytest.mark.parametrize("prefix", ["", "backbone.feature_extractor.ldm_extractor.", "module."])
def test_published_tensors_are_found_under_any_prefix(captioner, prefix, tmp_path):
    content = {
        "model": {prefix + name: tensor for name, tensor in captioner.tensors().items()}
        | {"other.weight": torch.zeros(2)},
        "iteration": 5,
    }
    torch.save(content, tmp_path / "odise.pth")
    loaded = load_captioner(tmp_path / "odise.pth")
    embedding = torch.randn(2, 24)
    for output, expected in zip(captioner(embedding), loaded(embedding), strict=True):
        torch.testing.assert_close(output, expected)


def test_a_checkpoint_cannot_run_code(tmp_path):
    class Evil:
        def __reduce__(self):
            return (Path(tmp_path / "ran").touch, ())

    torch.save({"model": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(UserError, match="holds more than tensors"):
        load_captioner(tmp_path / "evil.pth")
    assert not (tmp_path / "ran").exists()


def test_a_missing_tensor_is_named(captioner, tmp_path):
    tensors = captioner.tensors()
    del tensors["alpha_cond"]
    save_file(tensors, tmp_path / "captioner.safetensors")
    with pytest.raises(UserError, match=r"tensor 'alpha_cond' is missing"):
        load_captioner(tmp_path)


def test_prompt_depends_on_the_picture(captioner, vit, tmp_path):
    save_file(captioner.tensors(), tmp_path / "captioner.safetensors")
    prompt = make_prompt(context(tmp_path, vit))
    addition, another = (prompt("cat", (request(seed),)) for seed in (1, 2))
    assert isinstance(addition, EmptyTextPlus)
    assert (addition.states.shape, addition.time.shape) == ((77, 8), (64,))
    assert not torch.equal(addition.states, another.states)
    assert torch.equal(addition.states, prompt("dog", (request(1),)).states)


def test_another_text_width_is_not_applicable(vit, tmp_path):
    save_file(ImplicitCaptioner(24, 16, 64).tensors(), tmp_path / "captioner.safetensors")
    with pytest.raises(NotApplicable, match="width 16, the backbone's have 8"):
        make_prompt(context(tmp_path, vit))


@pytest.mark.parametrize("factor", [1e-30, 1e-10, 1e25, 1e30])
def test_principal_components_of_any_magnitude_point_the_same_way(factor):
    generator = torch.Generator().manual_seed(0)
    maps = [torch.randn(12, 6, 5, generator=generator) for _ in range(2)]

    def cosines(source, target):
        reduced = [one.double().flatten(1) for one in principal_components(source, target, 5)]
        source, target = (torch.nn.functional.normalize(one, dim=0, eps=0) for one in reduced)
        return source.T @ target

    scaled = [one * factor for one in maps]
    assert (cosines(*scaled) - cosines(*maps)).abs().max() < 1e-5
