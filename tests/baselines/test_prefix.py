"""Parts of the U-Net's pass computed once per image: the prefix, and the last convolution of a mean."""

from __future__ import annotations

import numpy as np
import PIL.Image
import pytest
import torch
from support.networks import true_unet
from support.paths import PIPELINE
from torch.utils.flop_counter import FlopCounterMode

from baselines.methods.dift import EXTRACTOR, StretchedFeatures
from baselines.sources import STABLE_DIFFUSION_2_1
from baselines.stable_diffusion.backbone import StableDiffusion
from baselines.stable_diffusion.conditioning import Conditioning
from baselines.stable_diffusion.prefix import prefix_submodules
from baselines.weights import BUNDLED
from harness.specs import ImageRequest, MakeContext

PIPELINES = {"authors": PIPELINE, "tiny": BUNDLED / "stable-diffusion"}


@pytest.fixture(scope="module", params=PIPELINES)
def backbone(request):
    return StableDiffusion(PIPELINES[request.param])


def noisy_and_prompts(
    backbone: StableDiffusion, count: int, seed: int = 0, side: int = 8
) -> tuple[torch.Tensor, list[Conditioning]]:
    generator = torch.Generator().manual_seed(seed)
    states = torch.randn(count, 77, backbone.text_width, generator=generator)
    return torch.randn(count, 4, side, side, generator=generator), [Conditioning(row) for row in states]


def test_the_prefix_is_all_before_the_first_prompt():
    """Encoder blocks without attention are in it as wholes; SD 2-1 begins with a block that has it."""
    tiny = StableDiffusion(PIPELINES["tiny"]).unet
    assert prefix_submodules(tiny) == (
        "down_blocks.0",
        "down_blocks.1.resnets.0",
        "down_blocks.1.attentions.0.transformer_blocks.0.attn1",
    )
    assert prefix_submodules(true_unet()) == (
        "down_blocks.0.resnets.0",
        "down_blocks.0.attentions.0.transformer_blocks.0.attn1",
    )


@pytest.mark.parametrize("submodule", ["up_blocks.0", "up_blocks.1", "up_blocks.2"])
def test_what_is_put_in_place_gives_the_bits_of_a_pass_without(backbone, submodule):
    """Skip connections of blocks that are not computed reach the last decoder block, too."""
    noisy, prompts = noisy_and_prompts(backbone, 3)
    other_prompts = noisy_and_prompts(backbone, 3, seed=1)[1]
    with torch.inference_mode():
        prefix_outputs = backbone.run_prefix(noisy, 50)
        for conditions in (prompts, other_prompts):
            expected = backbone.activations(noisy, 50, conditions, [submodule])[submodule]
            assert torch.equal(
                backbone.activations(noisy, 50, conditions, [submodule], prefix_outputs)[submodule], expected
            )
    assert not any("forward" in vars(module) or module._forward_hooks for module in backbone.unet.modules())


def test_parts_of_what_was_begun_go_with_their_rows(backbone, monkeypatch):
    noisy, prompts = noisy_and_prompts(backbone, 5)
    monkeypatch.setattr("baselines.stable_diffusion.unet.POSITIONS", 2 * 64)
    with torch.inference_mode():
        output = backbone.activations(noisy, 50, prompts, ["up_blocks.1"], backbone.run_prefix(noisy, 50))[
            "up_blocks.1"
        ]
        assert torch.equal(output, backbone.activations(noisy, 50, prompts, ["up_blocks.1"])["up_blocks.1"])


def test_submodules_compute_again_after_a_pass_that_failed(backbone):
    noisy, _ = noisy_and_prompts(backbone, 2)
    prefix_outputs = backbone.run_prefix(noisy, 50)
    with pytest.raises(RuntimeError):
        backbone.activations(
            noisy, 50, [Conditioning(torch.zeros(77, 3))] * 2, ["up_blocks.1"], prefix_outputs
        )
    assert not any("forward" in vars(module) for module in backbone.unet.modules())


def test_true_size_is_spared_a_seventh(monkeypatch):
    """At 768 x 768: 153 GFLOP of 1,126, most of them the first self-attention's."""
    backbone = StableDiffusion(PIPELINE)
    unet, meta = true_unet(), torch.device("meta")
    monkeypatch.setattr(backbone, "unet", unet)
    monkeypatch.setattr(backbone, "device", meta)
    noisy, prompt = torch.empty(1, 4, 96, 96, device=meta), Conditioning(torch.empty(77, 1024, device=meta))
    with FlopCounterMode(display=False) as whole:
        backbone.activations(noisy, 50, [prompt], ["up_blocks.1"])
    prefix_outputs = backbone.run_prefix(noisy, 50)
    with FlopCounterMode(display=False) as remaining:
        backbone.activations(noisy, 50, [prompt], ["up_blocks.1"], prefix_outputs)
    assert whole.get_total_flops() - remaining.get_total_flops() == pytest.approx(153e9, rel=0.02)


@pytest.mark.parametrize(
    "submodule", ["up_blocks.0", "up_blocks.1", "up_blocks.2", "up_blocks.1.resnets.0", "mid_block"]
)
@pytest.mark.parametrize("side", [8, 9])
def test_the_mean_is_that_of_the_draws(backbone, submodule, side):
    """Also at sizes that the decoder gets from its caller, and for submodules without an upsampler."""
    noisy, prompts = noisy_and_prompts(backbone, 6, side=side)
    with torch.inference_mode():
        every = backbone.activations(noisy, 50, prompts, [submodule])[submodule]
        mean = backbone.mean_activations(noisy, 50, prompts, submodule, 3)
    expected = torch.stack([every[:3].mean(dim=0), every[3:].mean(dim=0)])
    assert mean.shape == expected.shape
    torch.testing.assert_close(mean, expected, rtol=0, atol=2e-6 * float(every.abs().max()))


def test_the_last_convolution_is_of_the_mean(backbone):
    noisy, prompts = noisy_and_prompts(backbone, 6)
    rows = []
    hook = (
        backbone.unet.up_blocks[1]
        .upsamplers[0]
        .register_forward_hook(lambda module, inputs, output: rows.append(len(output)))
    )
    backbone.mean_activations(noisy, 50, prompts, "up_blocks.1", 3)
    hook.remove()
    assert rows == [2]


def extractor(scope: str = "pair", cache_bytes: int = 1 << 30, **params) -> StretchedFeatures:
    params = {**EXTRACTOR.params, "ensemble": 2, **params}
    return StretchedFeatures(
        MakeContext(
            params=params,
            weights={STABLE_DIFFUSION_2_1: PIPELINE},
            prompt_scope=scope,
            cache_bytes=cache_bytes,
        )
    )


def image_request(picture: int, states: int, seed: int = 0, time: torch.Tensor | None = None) -> ImageRequest:
    pixels = np.random.default_rng(picture).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    prompt = Conditioning(torch.randn(77, 8, generator=torch.Generator().manual_seed(states)), time)
    return ImageRequest(PIL.Image.fromarray(pixels), f"image {picture}", "cat", prompt, seed)


def pairs() -> list[list[ImageRequest]]:
    return [
        [image_request(1, 1), image_request(2, 1)],
        [image_request(1, 2), image_request(3, 2)],
        [image_request(2, 3), image_request(1, 3)],
    ]


def test_a_picture_begins_once_whatever_its_prompts(monkeypatch):
    make, prefix_lengths = extractor(), []
    original = make.backbone.run_prefix
    monkeypatch.setattr(
        make.backbone,
        "run_prefix",
        lambda noisy, *rest: (prefix_lengths.append(len(noisy)), original(noisy, *rest))[1],
    )
    plain = extractor("image")
    with torch.inference_mode():
        for pair in pairs():
            for feature_map, expected in zip(make.extract(pair), plain.extract(pair), strict=True):
                # The miniature's made-up weights enlarge rounding.
                torch.testing.assert_close(feature_map.data, expected.data, rtol=0, atol=5e-5)
        assert prefix_lengths == [2, 2, 2]
        make.extract([image_request(1, 1, seed=1)])
    assert prefix_lengths == [2, 2, 2, 2]


def test_what_was_begun_is_bounded_and_comes_back_to_the_same_bytes():
    roomy, tight = extractor(), extractor(cache_bytes=0)
    with torch.inference_mode():
        for pair in (*pairs(), *pairs()):
            for feature_map, expected in zip(roomy.extract(pair), tight.extract(pair), strict=True):
                assert torch.equal(feature_map.data, expected.data)
    assert len(roomy._prefixes) == 3
    assert len(tight._prefixes) == 2


def test_a_prompt_that_shifts_the_timestep_begins_anew(monkeypatch):
    """The time's embedding enters the first resnet, which is part of the prefix."""
    make, plain = extractor(), extractor("image")
    shifted = image_request(1, 1, time=torch.ones(make.backbone.card.time_width))
    monkeypatch.setattr(
        make.backbone, "run_prefix", lambda *_: pytest.fail("began without the prompt's time")
    )
    with torch.inference_mode():
        assert torch.equal(make.extract([shifted])[0].data, plain.extract([shifted])[0].data)
