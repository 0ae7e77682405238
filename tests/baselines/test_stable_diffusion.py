"""The Stable Diffusion backbone: activations, operations that are spared, prompts, noise."""

from __future__ import annotations

import numpy as np
import PIL.Image
import pytest
import torch
from support.networks import true_unet
from support.paths import PIPELINE
from torch.utils.flop_counter import FlopCounterMode

from baselines.methods.dift import EXTRACTOR, StretchedFeatures
from baselines.networks.pixels import stretch_as_tensor
from baselines.sources import STABLE_DIFFUSION_2_1
from baselines.stable_diffusion.backbone import StableDiffusion, draw_noise
from baselines.stable_diffusion.card import Card
from baselines.stable_diffusion.conditioning import Conditioning, EmptyTextPlus, TokenEmbeddings
from harness.errors import UserError
from harness.specs import ImageRequest, MakeContext


@pytest.fixture(scope="module")
def backbone():
    return StableDiffusion(PIPELINE)


def request(seed: int, prompt: object = "a photo of a cat", run_seed: int = 0) -> ImageRequest:
    pixels = np.random.default_rng(seed).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    return ImageRequest(
        PIL.Image.fromarray(pixels).resize((90, 60)), f"image {seed}", "cat", prompt, run_seed
    )


def extractor(**params) -> StretchedFeatures:
    context = MakeContext(
        params={**EXTRACTOR.params, "ensemble": 2, **params}, weights={STABLE_DIFFUSION_2_1: PIPELINE}
    )
    return StretchedFeatures(context)


@pytest.mark.parametrize(
    "submodule", ["up_blocks.0", "up_blocks.1", "up_blocks.2", "up_blocks.1.attentions.0"]
)
def test_stopping_early_gives_the_bits_of_a_full_pass(backbone, submodule):
    noisy, states = torch.randn(2, 4, 8, 8), torch.randn(2, 77, 8)
    full = {}
    hook = backbone.unet.get_submodule(submodule).register_forward_hook(
        lambda module, inputs, output: full.update(out=output)
    )
    with torch.no_grad():
        backbone.unet(noisy, 261, states)
    hook.remove()
    expected = full["out"][0] if isinstance(full["out"], tuple) else full["out"]
    output = backbone.activations(noisy, 261, [Conditioning(row) for row in states], [submodule])[submodule]
    assert torch.equal(output, expected)


def test_nothing_after_the_last_place_is_computed(backbone):
    ran = []
    hooks = [
        module.register_forward_hook(lambda module, inputs, output, name=name: ran.append(name))
        for name, module in backbone.unet.named_children()
        if name in ("conv_in", "conv_out", "conv_norm_out")
    ]
    hooks += [
        block.register_forward_hook(lambda m, i, o, k=k: ran.append(k))
        for k, block in enumerate(backbone.unet.up_blocks)
    ]
    backbone.activations(
        torch.randn(1, 4, 8, 8), 50, [Conditioning(torch.randn(77, 8))], ["up_blocks.0", "up_blocks.1"]
    )
    for hook in hooks:
        hook.remove()
    assert ran == ["conv_in", 0, 1]
    assert not any(module._forward_hooks for module in backbone.unet.modules())


def test_large_batches_are_cut_without_a_trace(backbone, monkeypatch):
    noisy = torch.randn(5, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    prompts = [backbone.condition(text) for text in ("", "a", "cat", "photo", "of")]
    whole = backbone.activations(noisy, 50, prompts, ["up_blocks.1"])["up_blocks.1"]
    monkeypatch.setattr("baselines.stable_diffusion.unet.POSITIONS", 2 * 64)
    cut = backbone.activations(noisy, 50, prompts, ["up_blocks.1"])["up_blocks.1"]
    # The miniature's made-up weights enlarge rounding.
    torch.testing.assert_close(whole, cut, rtol=0, atol=5e-5 * float(whole.abs().max()))


def test_token_embeddings_of_a_text_give_the_text_itself(backbone):
    rows = backbone.token_embeddings("a photo of a cat")
    torch.testing.assert_close(
        backbone.condition(TokenEmbeddings(rows)).states,
        backbone.text_states("a photo of a cat"),
        rtol=0,
        atol=1e-5,
    )


def test_the_text_encoder_looks_back_only(backbone):
    rows = backbone.token_embeddings("a photo of a cat").clone()
    before = backbone.embedding_states(rows[None])[0]
    # The layer norms would take a shift of all channels away.
    rows[40] *= -1
    after = backbone.embedding_states(rows[None])[0]
    assert torch.equal(before[:40], after[:40])
    assert (before[40:] != after[40:]).any(dim=1).all()


def test_gradients_reach_the_prompt_and_nothing_else(backbone):
    rows = backbone.token_embeddings("").clone().requires_grad_()
    prompt = backbone.condition(TokenEmbeddings(rows))
    backbone.activations(torch.randn(1, 4, 8, 8), 261, [prompt], ["up_blocks.1"])[
        "up_blocks.1"
    ].square().mean().backward()
    assert rows.grad is not None
    assert rows.grad.abs().sum() > 0
    assert all(
        parameter.grad is None
        for part in (backbone.unet, backbone.text_encoder)
        for parameter in part.parameters()
    )


def test_what_a_captioner_adds_at_zero_is_the_empty_text(backbone):
    nothing = EmptyTextPlus(torch.zeros(77, 8), torch.zeros(64))
    noisy = torch.randn(1, 4, 8, 8)
    plain, same, shifted = (
        backbone.activations(noisy, 50, [backbone.condition(prompt)], ["up_blocks.1"])["up_blocks.1"]
        for prompt in ("", nothing, EmptyTextPlus(torch.zeros(77, 8), torch.ones(64)))
    )
    torch.testing.assert_close(plain, same, rtol=0, atol=1e-6)
    assert (plain - shifted).abs().max() > 1e-3


def test_prompts_of_several_kinds_are_conditioned_in_their_order(backbone):
    """Rows of embeddings pass together; what they become is theirs."""
    rows = [TokenEmbeddings(backbone.token_embeddings(text)) for text in ("a cat", "a dog")]
    passes = []
    hook = backbone.text_encoder.register_forward_hook(
        lambda module, inputs, output: passes.append(len(output.last_hidden_state))
    )
    conditions = backbone.conditions([rows[0], "a bus", Conditioning(torch.zeros(77, 8)), rows[1]])
    hook.remove()
    assert passes.count(2) == 1
    text_conditions = (conditions[0], conditions[1], conditions[3])
    for condition, text in zip(text_conditions, ("a cat", "a bus", "a dog"), strict=True):
        torch.testing.assert_close(condition.states, backbone.text_states(text), rtol=0, atol=1e-5)
    assert not conditions[2].states.any()


def test_features_do_not_depend_on_the_batch():
    make = extractor()
    together = make.extract([request(1), request(2, ""), request(3)])
    for seed, prompt, feature_map in (
        (1, "a photo of a cat", together[0]),
        (2, "", together[1]),
        (3, "a photo of a cat", together[2]),
    ):
        alone = extractor().extract([request(seed, prompt)])[0]
        # The miniature's made-up weights enlarge rounding; trained ones stay below 1e-5.
        torch.testing.assert_close(feature_map.data, alone.data, rtol=0, atol=5e-5)


def test_noise_belongs_to_seed_image_timestep_and_member():
    noise = draw_noise((4, 8, 8), "noise", 0, "image", 261, 0)
    assert torch.equal(noise, draw_noise((4, 8, 8), "noise", 0, "image", 261, 0))
    for key in ((1, "image", 261, 0), (0, "another", 261, 0), (0, "image", 50, 0), (0, "image", 261, 1)):
        assert not torch.equal(noise, draw_noise((4, 8, 8), "noise", *key))
    assert abs(float(draw_noise((100_000,), "noise").std()) - 1) < 0.02


def test_the_global_random_stream_is_left_alone():
    torch.manual_seed(5)
    state = torch.get_rng_state()
    extractor().extract([request(1)])
    assert torch.equal(state, torch.get_rng_state())


def test_ensemble_is_the_mean_of_its_members():
    make, image = extractor(ensemble=3), request(1)
    mean, std = make._posterior_moments(image)
    members = []
    for member in range(3):
        latents = mean + std * draw_noise(mean.shape, "posterior", 0, image.identity, 261, member)
        noisy = make.backbone.noisy(
            latents[None], draw_noise(mean.shape, "noise", 0, image.identity, 261, member)[None], 261
        )
        members.append(
            make.backbone.activations(noisy, 261, [make.backbone.condition(image.prompt)], ["up_blocks.1"])[
                "up_blocks.1"
            ][0]
        )
    torch.testing.assert_close(
        make.extract([image])[0].data, torch.stack(members).mean(dim=0), rtol=0, atol=5e-5
    )


@pytest.mark.parametrize("posterior", ["sampled", "sampled-once", "mean"])
def test_the_posterior_is_used_as_asked(posterior):
    make, image = extractor(posterior=posterior), request(1)
    mean, std = make._posterior_moments(image)
    noisy = make._latents(image, mean, std) - make._latents(image, mean, torch.zeros_like(std))
    moved = noisy.flatten(1).abs().sum(dim=1) > 0
    assert bool(moved.all()) == (posterior != "mean")
    assert torch.allclose(noisy[0], noisy[1], atol=1e-6) == (posterior != "sampled")


def test_pictures_are_encoded_once(monkeypatch):
    make, encoded = extractor(), []
    original = make.backbone.posterior
    monkeypatch.setattr(
        make.backbone, "posterior", lambda pixels: (encoded.append(len(pixels)), original(pixels))[1]
    )
    make.extract([request(1), request(2)])
    make.extract([request(2), request(1, "another prompt"), request(3)])
    assert encoded == [1, 1, 1]


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_stays_near(precision):
    context = MakeContext(
        precision=precision,
        params={**EXTRACTOR.params, "ensemble": 1},
        weights={STABLE_DIFFUSION_2_1: PIPELINE},
    )
    half = StretchedFeatures(context).extract([request(1)])[0].data
    full = extractor(ensemble=1).extract([request(1)])[0].data
    assert half.dtype == torch.float32
    similarity = torch.nn.functional.cosine_similarity(half.flatten(1), full.flatten(1), dim=0)
    # A cell of small features may be off by more where a processor computes in half precision itself.
    assert similarity.mean() > 0.97


def test_true_size_has_the_published_parameters_shape_and_cost(backbone, monkeypatch):
    """865.9 M parameters; (1280, 48, 48) at 768 x 768 for 1.126 TFLOP up to up-block 1."""
    unet = true_unet()
    assert sum(parameter.numel() for parameter in unet.parameters()) == pytest.approx(865.9e6, rel=1e-4)
    monkeypatch.setattr(backbone, "unet", unet)
    monkeypatch.setattr(backbone, "device", torch.device("meta"))
    prompt = Conditioning(torch.empty(77, 1024, device="meta"))
    with FlopCounterMode(display=False) as counter:
        outputs = backbone.activations(
            torch.empty(1, 4, 96, 96, device="meta"), 261, [prompt], ["up_blocks.1"]
        )
    assert outputs["up_blocks.1"].shape == (1, 1280, 48, 48)
    assert counter.get_total_flops() == pytest.approx(1.126e12, rel=0.002)


def test_the_true_encoder_costs_what_the_design_counts_with():
    from diffusers import AutoencoderKL

    with torch.device("meta"):
        vae = AutoencoderKL(
            block_out_channels=(128, 256, 512, 512),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=2,
            latent_channels=4,
            sample_size=768,
        )
        image = torch.empty(1, 3, 768, 768)
    with FlopCounterMode(display=False) as counter:
        latents = vae.encode(image).latent_dist.mean
    assert latents.shape == (1, 4, 96, 96)
    assert counter.get_total_flops() == pytest.approx(2.609e12, rel=0.002)


def test_the_card_knows_sizes_and_levels():
    card = Card.of(PIPELINE)
    assert (card.native, card.factor, card.text_width, card.prediction) == (64, 8, 8, "v_prediction")
    assert card.levels["up-block 1"] == "up_blocks.1"
    assert [card.strides[name] for name in ("s5", "s4", "s3")] == [64, 32, 16]


def test_a_foreign_folder_is_told_in_one_line(tmp_path):
    with pytest.raises(
        UserError,
        match=r"unet/config.json: No such file.*a Stable Diffusion is a folder as diffusers saves it",
    ):
        StableDiffusion(tmp_path)


def test_damaged_weights_are_told_in_one_line(tmp_path):
    import shutil

    shutil.copytree(PIPELINE, tmp_path / "copy")
    weights = tmp_path / "copy" / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(UserError) as caught:
        StableDiffusion(tmp_path / "copy")
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_an_unknown_level_names_the_known_ones():
    with pytest.raises(UserError, match=r"level 'up-block 9': the backbone has up-block 0, up-block 1"):
        extractor(level="up-block 9")


def test_pictures_may_be_stretched_as_tensors():
    """Bilinear between four pixels, whatever is left out, and without rounding to bytes."""
    pixels = np.random.default_rng(0).integers(0, 256, (9, 8, 3), dtype=np.uint8)
    stretched = stretch_as_tensor(PIL.Image.fromarray(pixels), (4, 3)).numpy()
    assert stretched.shape == (3, 4, 3)
    for row, y in enumerate((1, 4, 7)):
        for column, x in enumerate((0.5, 2.5, 4.5, 6.5)):
            left = int(x)
            between = (pixels[y, left].astype(float) + pixels[y, left + 1]) / 2
            np.testing.assert_allclose(stretched[row, column], between, atol=1e-4)
    assert "bilinear-tensor" in EXTRACTOR.param_choices["resample"]
    by_tensor, by_pillow = (extractor(resample=name) for name in ("bilinear-tensor", "bilinear"))
    maps = [one.extract([request(3)])[0].data for one in (by_tensor, by_pillow)]
    assert maps[0].shape == maps[1].shape
    assert not torch.equal(*maps)
