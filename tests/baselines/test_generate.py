"""Pictures from prompts' states: those of the stock pipeline, with noise by seed, name and number."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.paths import PIPELINE

from baselines.networks.loading import quiet
from baselines.stable_diffusion.backbone import StableDiffusion, draw_noise
from baselines.stable_diffusion.conditioning import Conditioning
from baselines.stable_diffusion.generate import Generator, generate
from harness.errors import UserError

STEPS = 3


@pytest.fixture(scope="module")
def backbone():
    return StableDiffusion(PIPELINE)


@pytest.fixture(scope="module")
def states(backbone):
    return [backbone.text_states(text) for text in ("a photo of a cat", "a dog")]


def pictures(backbone, states, number=1, steps=STEPS, names=None, **options):
    return Generator(backbone, steps=steps, **options).pictures(states, number=number, names=names)


def apart(picture, expected) -> int:
    """Largest difference of two pictures, in grey levels."""
    return int(np.abs(np.asarray(picture, dtype=int) - np.asarray(expected, dtype=int)).max())


@pytest.mark.parametrize("guidance", [7.5, 1.0])
def test_states_of_a_text_give_the_stock_pipelines_picture_of_that_text(backbone, states, guidance):
    with quiet():
        from diffusers import StableDiffusionPipeline

        stock = StableDiffusionPipeline.from_pretrained(PIPELINE, requires_safety_checker=False)
    stock.set_progress_bar_config(disable=True)
    noise = draw_noise((1, 4, 8, 8), "picture", 5, "0", 0)
    expected = stock(
        "a photo of a cat", latents=noise, num_inference_steps=STEPS, guidance_scale=guidance
    ).images[0]
    ((picture,),) = generate(PIPELINE, states[:1], number=1, steps=STEPS, guidance=guidance, seed=5)
    assert picture.mode == "RGB"
    assert picture.size == (backbone.card.native, backbone.card.native)
    assert np.asarray(picture).std() > 1
    assert apart(picture, expected) <= 1


def test_a_picture_depends_on_neither_number_nor_batch_nor_other_prompts(backbone, states, monkeypatch):
    whole = pictures(backbone, states, number=3)
    assert [len(row) for row in whole] == [3, 3]
    fewer = pictures(backbone, states[:1], number=2)
    monkeypatch.setattr("baselines.stable_diffusion.generate.POSITIONS", 2 * 2 * 64)
    cut = pictures(backbone, states, number=3)
    for picture, expected in zip(
        [*whole[0], *whole[1], *whole[0][:2]], [*cut[0], *cut[1], *fewer[0]], strict=True
    ):
        assert apart(picture, expected) <= 1


def test_noise_belongs_to_seed_name_and_number(backbone, states):
    same = [states[0]] * 2
    (picture, next_picture), row_of_another_name = pictures(backbone, same, number=2)
    for different in (next_picture, *row_of_another_name):
        assert apart(picture, different) > 1
    row, row_of_same_name = pictures(backbone, same, number=2, names=["a", "a"])
    for picture, expected in zip(row, row_of_same_name, strict=True):
        assert apart(picture, expected) <= 1
    assert apart(row[0], pictures(backbone, same, names=["a", "a"], seed=1)[0][0]) > 1


def test_the_backbone_is_left_as_it_was(states):
    backbone = StableDiffusion(PIPELINE)
    noisy, prompts = torch.randn(1, 4, 8, 8), [Conditioning(states[0])]
    before = backbone.activations(noisy, 261, prompts, ["up_blocks.1"])["up_blocks.1"]
    timesteps = backbone.scheduler.timesteps.clone()
    pictures(backbone, states)
    assert torch.equal(backbone.scheduler.timesteps, timesteps)
    assert torch.equal(backbone.activations(noisy, 261, prompts, ["up_blocks.1"])["up_blocks.1"], before)


def test_progress_counts_steps_of_all_pictures(backbone, states, monkeypatch):
    monkeypatch.setattr("baselines.stable_diffusion.generate.POSITIONS", 2 * 2 * 64)
    calls = []
    Generator(backbone, steps=STEPS).pictures(
        states, number=3, progress=lambda *arguments: calls.append(arguments)
    )
    assert calls == [(done, 18) for done in (2, 4, 6, 8, 10, 12, 14, 16, 18)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "0 denoising steps: expected 1 to 1000"),
        ({"steps": 1001}, "1001 denoising steps: expected 1 to 1000"),
        ({"guidance": float("nan")}, "guidance nan: expected"),
        ({"guidance": -1.0}, "guidance -1.0: expected"),
        ({"number": 0}, "0 pictures: expected at least 1"),
    ],
)
def test_values_out_of_range_are_one_line(backbone, states, options, message):
    with pytest.raises(UserError, match=message) as caught:
        pictures(backbone, states, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shape", [(77, 16), (75, 8), (1, 77, 8)])
def test_a_prompt_of_another_shape_is_one_line(backbone, shape):
    with pytest.raises(UserError, match=r"made for another Stable Diffusion"):
        pictures(backbone, [torch.zeros(shape)])


def test_a_folder_without_a_stable_diffusion_is_one_line(tmp_path, states):
    with pytest.raises(UserError, match=r"config\.json"):
        generate(tmp_path, states, number=1)


def test_overflow_is_told_and_not_drawn(states):
    broken = StableDiffusion(PIPELINE)
    broken.vae.decoder.conv_out.bias.data.fill_(float("inf"))
    with pytest.raises(UserError, match=r"overflow in torch\.float32"):
        pictures(broken, states)


def test_a_full_memory_is_one_line(backbone, states, monkeypatch):
    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 2 GiB")

    monkeypatch.setattr(backbone.vae, "decode", full)
    with pytest.raises(UserError, match=r"cpu: no memory left for pictures of 64 x 64; try") as caught:
        pictures(backbone, states)
    assert "\n" not in str(caught.value)
