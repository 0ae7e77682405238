"""CleanDIFT: latents without noise, another U-Net beside a Stable Diffusion, and the tiny one's training."""

from __future__ import annotations

import re

import numpy as np
import PIL.Image
import pytest
import torch
from safetensors.torch import load_file, save_file
from support.paths import PIPELINE

from baselines.methods.cleandift import EXTRACTOR, CleanFeatures
from baselines.sources import CLEANDIFT, STABLE_DIFFUSION_2_1
from baselines.stable_diffusion.card import Card
from baselines.stable_diffusion.other_unet import CHANGED, WHOLE, tensors_of
from baselines.tiny.cleandift import train_cleandift
from baselines.tiny.loop import Schedule
from baselines.tiny.pictures import Pictures
from harness.errors import UserError
from harness.specs import ImageRequest, MakeContext, SharedObjects

OWN = PIPELINE / "unet" / "diffusion_pytorch_model.safetensors"

SHARED = SharedObjects()
"""Of all extractors here, so that a Stable Diffusion is loaded anew only for another file than the last."""


def request(run_seed: int = 0) -> ImageRequest:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    return ImageRequest(PIL.Image.fromarray(pixels), "picture", "cat", "a photo of a cat", run_seed)


def extractor(unet=OWN, **params) -> CleanFeatures:
    weights = {STABLE_DIFFUSION_2_1: PIPELINE, CLEANDIFT: unet}
    return CleanFeatures(MakeContext(params={**EXTRACTOR.params, **params}, weights=weights, shared=SHARED))


def features(unet=OWN, run_seed=0, **params) -> torch.Tensor:
    return extractor(unet, **params).extract([request(run_seed)])[0].data


@pytest.fixture(scope="module")
def own() -> torch.Tensor:
    """Features of the pipeline's own U-Net."""
    return features()


@pytest.fixture(scope="module")
def shifted(tmp_path_factory):
    """A U-Net that differs from the pipeline's own in one tensor: as a file, that tensor, and features."""
    tensors = load_file(OWN)
    tensors["conv_in.bias"] = tensors["conv_in.bias"] + 1
    path = tmp_path_factory.mktemp("unet") / "unet.safetensors"
    save_file(tensors, path)
    return path, tensors["conv_in.bias"], features(path)


def test_there_is_no_noise_and_nothing_is_scaled_down(own):
    clean = extractor()
    backbone = clean.backbone
    mean, _ = clean._posterior_moments(request())
    states = backbone.conditions(["a photo of a cat"])
    latents = mean[None] * backbone.vae.config.scaling_factor
    expected = backbone.activations(latents, 261, states, ["up_blocks.1"])["up_blocks.1"][0]
    assert torch.equal(own, expected)


def test_two_seeds_give_the_same_bytes_unless_the_posterior_is_sampled(own):
    assert torch.equal(features(run_seed=1), own)
    drawn = [features(run_seed=seed, posterior="sampled") for seed in (0, 0, 1)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_the_u_net_is_told_the_timestep(own):
    assert not torch.equal(features(timestep=0), own)


def test_the_file_takes_the_place_of_the_pipeline_s_u_net(own, shifted, tmp_path):
    _, bias, tuned = shifted
    assert not torch.equal(tuned, own)
    save_file({CHANGED + "conv_in.bias": bias}, tmp_path / "changed.safetensors")
    assert torch.equal(features(tmp_path / "changed.safetensors"), tuned)


def test_the_u_net_of_the_authors_larger_file_is_read(shifted, tmp_path):
    """That file holds the frozen U-Net, heads and a timestep, too."""
    tensors, frozen = load_file(shifted[0]), load_file(OWN)
    larger = {WHOLE + name: tensor for name, tensor in tensors.items()}
    larger |= {f"unet_feature_extractor_base.{name}": tensor for name, tensor in frozen.items()}
    save_file({**larger, "timestep": torch.tensor(261.0)}, tmp_path / "full.safetensors")
    read = tensors_of(tmp_path / "full.safetensors", frozen)
    assert read.keys() == tensors.keys()
    assert all(torch.equal(read[name], tensor) for name, tensor in tensors.items())


def test_a_prefix_of_a_wrapper_comes_off(shifted, tmp_path):
    path, _, tuned = shifted
    save_file({f"_orig_mod.{name}": tensor for name, tensor in load_file(path).items()}, tmp_path / "w")
    assert torch.equal(features(tmp_path / "w"), tuned)


def test_a_shared_backbone_does_not_keep_another_file_s_u_net(own, shifted):
    path, _, tuned = shifted
    assert torch.equal(features(path), tuned)
    assert torch.equal(features(), own)


def test_wrong_files_are_told_in_one_line(tmp_path):
    tensors = load_file(OWN)
    missing = dict(tensors)
    del missing["conv_in.weight"]
    files = {
        "missing": (missing, "conv_in.weight"),
        "unknown": ({CHANGED + "conv_inn.bias": torch.zeros(1)}, "conv_inn.bias of shape (1,)"),
        "shape": ({CHANGED + "conv_in.bias": torch.zeros(3)}, "conv_in.bias of shape (3,)"),
        "nan": ({CHANGED + "conv_in.bias": tensors["conv_in.bias"] * torch.nan}, "NaN"),
        "other": ({"something.weight": torch.zeros(3)}, "missing"),
    }
    for name, (content, problem) in files.items():
        path = tmp_path / f"{name}.safetensors"
        save_file(content, path)
        with pytest.raises(UserError, match=re.escape(problem)) as told:
            extractor(path)
        assert str(path) in str(told.value)
        assert "\n" not in str(told.value)


def test_training_changes_the_first_layers_towards_the_noisy_features(own, tmp_path, one_thread):
    side = Card.of(PIPELINE).native
    pixels = np.random.default_rng(0).integers(0, 256, (2, side, side, 3), dtype=np.uint8)
    pictures = Pictures(pixels, ["a photo of a cat"] * 2, ["cat"] * 2)
    train_cleandift(pictures, PIPELINE, tmp_path / "run", Schedule(2, 1e-3), 1)
    path = tmp_path / "run" / "cleandift.safetensors"
    names = {name.removeprefix(CHANGED) for name in load_file(path)}
    assert "conv_in.weight" in names
    assert names < load_file(OWN).keys()
    assert not [name for name in names if name.startswith(("conv_out", "up_blocks.2"))]
    assert not torch.equal(features(path), own)
