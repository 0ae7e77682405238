"""Networks of transformers and diffusers, loaded from files that are not as they should be."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from baselines.networks.loading import load_diffuser, load_transformer
from baselines.sources import STABLE_DIFFUSION_2_1
from baselines.stable_diffusion.shared import shared_backbone
from baselines.weights import BUNDLED
from harness.errors import UserError
from harness.specs import MakeContext

PIPELINE = BUNDLED / "stable-diffusion"


def load(part: str, folder: Path, dtype: torch.dtype = torch.float32):
    import diffusers
    import transformers

    if part == "text_encoder":
        return load_transformer(transformers.CLIPTextModel, folder, dtype)
    if part == "dino":
        return load_transformer(transformers.Dinov2Model, folder, dtype)
    network = {"unet": diffusers.UNet2DConditionModel, "vae": diffusers.AutoencoderKL}[part]
    return load_diffuser(network, folder, dtype)


@pytest.fixture(params=["text_encoder", "dino", "unet", "vae"])
def part(request):
    return request.param


def source(part: str) -> Path:
    return BUNDLED / "dino" if part == "dino" else PIPELINE / part


@pytest.fixture
def copy(part, tmp_path):
    folder = tmp_path / part
    shutil.copytree(source(part), folder)
    return folder


def change(folder: Path, edit) -> Path:
    file = next(folder.glob("*.safetensors"))
    save_file(edit(load_file(file)), file)
    return file


def reason(part: str, folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        load(part, folder)
    assert len(str(caught.value)) < 500 + len(str(folder))
    return str(caught.value)


def test_a_missing_tensor_is_never_chance(part, copy, capfd):
    names = sorted(load_file(next(copy.glob("*.safetensors"))))
    for name in (names[0], names[-1]):
        shutil.rmtree(copy)
        shutil.copytree(source(part), copy)
        file = change(copy, lambda tensors, name=name: {key: tensors[key] for key in tensors if key != name})
        text = reason(part, copy)
        assert text.startswith(f"{file}: 1 of its {len(names)} tensors is missing, ")
        # transformers has names of its own for some; their last part is the file's.
        assert name.rpartition(".")[2] in text
    assert capfd.readouterr() == ("", "")


def test_a_wrapper_s_prefix_comes_off(part, copy):
    change(copy, lambda tensors: {f"module.{name}": tensor for name, tensor in tensors.items()})
    state, wanted = load(part, copy).state_dict(), load(part, source(part)).state_dict()
    assert all(torch.equal(state[name], wanted[name]) for name in wanted)


def test_an_unknown_prefix_is_refused_in_words(part, copy, capfd):
    change(copy, lambda tensors: {f"student.{name}": tensor for name, tensor in tensors.items()})
    assert "of other names, student." in reason(part, copy)
    assert capfd.readouterr() == ("", "")


def test_a_tensor_that_the_configuration_does_not_know_is_refused(part, copy):
    change(copy, lambda tensors: {**tensors, "register.weight": torch.ones(4)})
    assert "1 tensor is not of the network that its configuration describes, register.weight" in reason(
        part, copy
    )


def test_blocks_that_the_configuration_does_not_know_are_refused(tmp_path):
    folder = shutil.copytree(BUNDLED / "dino", tmp_path / "dino")
    config = json.loads((folder / "config.json").read_text())
    del config["out_features"], config["out_indices"], config["stage_names"]
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    assert "tensors are not of the network that its configuration describes, encoder.layer.3" in reason(
        "dino", folder
    )


def test_a_tensor_with_nan_is_named(part, copy):
    def spoil(tensors):
        next(iter(tensors.values())).view(-1)[0] = torch.nan
        return tensors

    change(copy, spoil)
    assert "holds NaN or infinite numbers" in reason(part, copy)


def test_sizes_that_the_file_does_not_have_take_no_memory(tmp_path):
    folder = shutil.copytree(PIPELINE / "text_encoder", tmp_path / "text_encoder")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "hidden_size": 1_000_000}))
    assert "config.json: describes a network of 8.00254e+12 numbers" in reason("text_encoder", folder)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_loading_gives_what_the_libraries_give(part, dtype):
    import diffusers
    import transformers

    folder = source(part)
    if part in ("text_encoder", "dino"):
        network = transformers.CLIPTextModel if part == "text_encoder" else transformers.Dinov2Model
        theirs = network.from_pretrained(folder, dtype=dtype)
    else:
        network = diffusers.UNet2DConditionModel if part == "unet" else diffusers.AutoencoderKL
        theirs = network.from_pretrained(folder, torch_dtype=dtype, low_cpu_mem_usage=False)
    ours, wanted = load(part, folder, dtype).state_dict(), theirs.state_dict()
    assert ours.keys() == wanted.keys()
    for name, tensor in wanted.items():
        assert torch.equal(ours[name], tensor), name
        assert ours[name].dtype == tensor.dtype


def test_a_pickle_is_read_like_safetensors(part, copy):
    file = next(copy.glob("*.safetensors"))
    name = "pytorch_model.bin" if file.stem == "model" else f"{file.stem}.bin"
    torch.save(load_file(file), copy / name)
    file.unlink()
    state, wanted = load(part, copy).state_dict(), load(part, source(part)).state_dict()
    assert all(torch.equal(state[name], wanted[name]) for name in wanted)


def test_a_damaged_text_encoder_is_told_before_the_first_picture(tmp_path):
    folder = shutil.copytree(PIPELINE, tmp_path / "sd")
    change(folder / "text_encoder", lambda tensors: dict(list(tensors.items())[1:]))
    context = MakeContext(device="cpu", precision="fp32", weights={STABLE_DIFFUSION_2_1: folder})
    with pytest.raises(UserError, match="1 of its 36 tensors is missing"):
        shared_backbone(context, folder, 0)
