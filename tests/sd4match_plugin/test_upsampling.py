"""The frozen U-Net of a training, which has less to do on a CPU and gives the same."""

from __future__ import annotations

import pytest
import torch
from diffusers import UNet2DConditionModel
from support.paths import PIPELINE
from torch.utils.flop_counter import FlopCounterMode

from baselines.sources import STABLE_DIFFUSION_2_1
from baselines.stable_diffusion.backbone import StableDiffusion
from baselines.stable_diffusion.unet import CPU_POSITIONS
from harness.caching.disk_cache import Cache
from sd4match_plugin.tuning.images import Posteriors
from sd4match_plugin.tuning.maps import Maps
from sd4match_plugin.tuning.settings import Settings
from sd4match_plugin.tuning.upsampling import TransposedUpsampling, replace_upsampling


def small_unet() -> UNet2DConditionModel:
    """The miniature pipeline's, frozen, with weights and biases of ordinary size."""
    unet = UNet2DConditionModel.from_pretrained(PIPELINE / "unet", low_cpu_mem_usage=False)
    unet.requires_grad_(False)
    generator = torch.Generator().manual_seed(0)
    for parameter in unet.parameters():
        spread = 0.5 * parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 0.1
        parameter.copy_(torch.randn(parameter.shape, generator=generator) * spread + (parameter.ndim == 1))
    return unet


def predict(unet: UNet2DConditionModel, side: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The U-Net's prediction for fixed latents, and a gradient in its prompts."""
    generator = torch.Generator().manual_seed(1)
    noisy, states = (torch.randn(shape, generator=generator) for shape in ((2, 4, side, side), (2, 77, 8)))
    predicted = unet(noisy, 261, states.requires_grad_()).sample
    (gradient,) = torch.autograd.grad(predicted.square().sum(), states)
    return predicted.detach(), gradient


@pytest.mark.parametrize("side", [8, 12])
def test_lightened_layers_compute_the_same(side):
    """Of 12 cells, halved three times, one map's side is odd and its upsampling goes to a size of its own."""
    unet = small_unet()
    before = predict(unet, side)
    replace_upsampling(unet)
    assert [type(module) for module in unet.modules()].count(TransposedUpsampling) == 3
    for found, expected in zip(predict(unet, side), before, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=2e-5 * float(expected.abs().max()))


def operations(network: torch.nn.Module, states: torch.Tensor) -> int:
    """Of one pass."""
    with FlopCounterMode(display=False) as counter:
        network(states)
    return counter.get_total_flops()


def test_an_upsampling_takes_four_ninths_of_the_multiplications():
    unet = small_unet()
    upsampling, states = unet.up_blocks[0].upsamplers[0], torch.randn(2, 32, 4, 4)
    assert 9 * operations(TransposedUpsampling(upsampling), states) == 4 * operations(upsampling, states)


def test_other_upsamplings_stay_as_they_are():
    unet = small_unet()
    upsampling = unet.up_blocks[0].upsamplers[0]
    upsampling.norm = torch.nn.LayerNorm(32)
    replace_upsampling(unet)
    assert unet.up_blocks[0].upsamplers[0] is upsampling


@pytest.fixture(scope="module")
def maps(tmp_path_factory):
    """Of a training on the miniature pipeline; no picture is encoded."""
    backbone = StableDiffusion(PIPELINE)
    cache = Cache(tmp_path_factory.mktemp("cache"), {STABLE_DIFFUSION_2_1: {}}, "cpu", "fp32")
    settings = Settings(
        method="sd4match-single",
        dataset="shapes",
        split="train",
        validation_split=None,
        manifest="1",
        validation_manifest=None,
        weights="w",
        validate_every=10,
    )
    return Maps(backbone, Posteriors(cache, backbone, settings.resample), settings)


def test_a_training_on_a_cpu_has_the_lightened_layers(maps):
    assert TransposedUpsampling in {type(module) for module in maps._backbone.unet.modules()}


def test_pairs_at_once_are_those_of_one_pass(maps):
    """More would keep what several passes leave behind, and be no faster."""
    cells = maps._shape[1] * maps._shape[2]
    assert maps.pairs_at_once == CPU_POSITIONS // (2 * cells)


def test_attention_keeps_no_matrix_of_weights(maps):
    with FlopCounterMode(display=False) as counter:
        maps(torch.zeros(2, *maps._shape), torch.zeros(2, 77, 8, requires_grad=True))
    counted = set(counter.get_flop_counts()["Global"])
    assert torch.ops.aten.convolution in counted
    assert not counted & {torch.ops.aten.bmm, torch.ops.aten.baddbmm}
