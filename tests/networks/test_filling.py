"""Networks filled with files: every tensor comes from there, or one line says why not."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from harness.errors import UserError
from harness.networks import fill_network, find_tensor_file, read_tensors, tensor_patterns
from harness.networks.configuration import read_configuration


def network() -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4))
    layers.register_buffer("position_ids", torch.arange(4))
    return layers


def tensors() -> dict[str, torch.Tensor]:
    """As a file has them: learned numbers other than those of a new network, and no positions."""
    return {name: tensor + 1 for name, tensor in network().named_parameters()}


def reason(path) -> str:
    with pytest.raises(UserError) as caught:
        fill_network(network(), path)
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 500
    return text


@pytest.fixture
def file(tmp_path):
    def write(content, name="weights.safetensors"):
        path = tmp_path / name
        if name.endswith(".safetensors"):
            save_file({key: tensor.contiguous() for key, tensor in content.items()}, path)
        else:
            torch.save(content, path)
        return path

    return write


def is_filled(path, **options) -> bool:
    filled = network()
    fill_network(filled, path, **options)
    state, wanted = filled.state_dict(), tensors()
    return all(torch.equal(state[name], wanted[name]) for name in wanted)


@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "module.",
        "_orig_mod.",
        "model.",
        "module._orig_mod.",
        "teacher.backbone.",
        "state_dict.model.encoder.",
    ],
)
@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pth"])
def test_prefixes_of_wrappers_come_off(file, prefix, name):
    assert is_filled(file({prefix + key: tensor for key, tensor in tensors().items()}, name))


def test_nested_dictionaries_are_looked_through(file):
    assert is_filled(
        file({"epoch": 3, "state_dict": {f"module.{key}": t for key, t in tensors().items()}}, "w.pt")
    )


def test_a_head_beside_a_backbone_is_no_reason_to_keep_its_prefix(file):
    content = {f"backbone.{name}": tensor for name, tensor in tensors().items()}
    path = file({**content, "head.weight": torch.ones(2)})
    assert is_filled(path, harmless=("head.*",))
    assert "other names" in reason(path)


def test_a_missing_tensor_is_named(file):
    content = tensors()
    del content["1.bias"]
    path = file(content)
    assert reason(path) == f"{path}: 1 of its 4 tensors is missing, 1.bias; copy or fetch it again"
    del content["0.weight"]
    assert "2 of its 4 tensors are missing, 0.weight among them" in reason(file(content))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"2.weight": torch.ones(2)},
            "1 tensor is not of the network that its configuration describes, 2.weight",
        ),
        ({"0.bias": torch.ones(5)}, "0.bias has the shape (5,), its configuration asks for (4,)"),
        ({"0.bias": torch.ones(4, dtype=torch.int8)}, "tensor 0.bias holds int8, not floating-point"),
        ({"0.bias": torch.ones(4, dtype=torch.bool)}, "tensor 0.bias holds bool, not floating-point"),
        (
            {"0.bias": torch.ones(4).to(torch.float8_e4m3fn)},
            "tensor 0.bias has numbers of 8 bits (float8_e4m3fn)",
        ),
        ({"0.bias": torch.tensor([1.0, 2, 3, torch.nan])}, "tensor 0.bias holds NaN or infinite numbers"),
        ({"0.bias": torch.tensor([1.0, -torch.inf, torch.inf, 0])}, "tensor 0.bias holds NaN or infinite"),
    ],
)
def test_a_tensor_that_is_not_the_networks_is_named(file, change, told):
    path = file({**tensors(), **change})
    assert reason(path).startswith(f"{path}: ")
    assert told in reason(path)


def test_positions_are_no_difference(file):
    assert is_filled(file({**tensors(), "embeddings.position_ids": torch.arange(9)}))


def test_numbers_too_large_for_the_precision_are_told_from_damage(file):
    path = file({**tensors(), "0.bias": torch.full((4,), 1e5)})
    with pytest.raises(
        UserError, match=r"0.bias holds numbers too large for float16; use another --precision"
    ):
        fill_network(network().half(), path)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n", "'git lfs pull' gets it"),
        (b"<html>no such file</html>", "nothing in it was run"),
        (b"\x08\0\0\0\0\0\0\0{broken}", "not safetensors, or damaged"),
    ],
)
def test_what_is_no_file_of_tensors_is_told(tmp_path, content, told):
    path = tmp_path / "weights.pt"
    path.write_bytes(content)
    assert told in reason(path)


def test_nothing_in_a_pickle_is_run(tmp_path):
    class Hostile:
        def __reduce__(self):
            return (open, (str(tmp_path / "was-run"), "w"))

    path = tmp_path / "weights.pt"
    torch.save({**tensors(), "more": Hostile()}, path)
    assert "holds more than tensors" in reason(path)
    assert not (tmp_path / "was-run").exists()


def test_tensors_without_numbers_are_told(tmp_path):
    path = tmp_path / "weights.pt"
    torch.save({**tensors(), "0.bias": torch.ones(4, device="meta")}, path)
    assert "tensor 0.bias has no numbers" in reason(path)


@pytest.fixture
def sharded(tmp_path):
    content = tensors()
    names = {}
    for number, keys in enumerate([list(content)[:2], list(content)[2:]], 1):
        shard = f"model-0000{number}-of-00002.safetensors"
        save_file({key: content[key] for key in keys}, tmp_path / shard)
        names.update(dict.fromkeys(keys, shard))
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": names}))
    return index


def test_shards_are_read_by_their_index(sharded):
    assert find_tensor_file(sharded.parent, "model") == sharded
    assert is_filled(sharded)


def test_an_index_and_its_shards_that_do_not_agree_are_told(sharded):
    (sharded.parent / "model-00002-of-00002.safetensors").unlink()
    assert 'names "model-00002-of-00002.safetensors", which is not beside it' in reason(sharded)
    sharded.write_text(json.dumps({"weight_map": {"0.weight": "../elsewhere.safetensors"}}))
    assert "which is not beside it" in reason(sharded)
    sharded.write_text(json.dumps({"weight_map": {"9.weight": "model-00001-of-00002.safetensors"}}))
    assert "1 of its 1 tensors are in none of the files it names, 9.weight among them" in reason(sharded)
    sharded.write_text("{}")
    assert "has no 'weight_map'" in reason(sharded)


def test_files_are_looked_for_in_the_order_of_the_table(tmp_path):
    with pytest.raises(UserError, match=r"has no model.safetensors; there is old.ckpt, which is not read"):
        (tmp_path / "old.ckpt").touch()
        find_tensor_file(tmp_path, "model", "pytorch_model")
    for name in ("model.fp16.safetensors", "pytorch_model.bin", "model.safetensors"):
        (tmp_path / name).touch()
        assert find_tensor_file(tmp_path, "model", "pytorch_model").name == name
    assert tensor_patterns("model", "pytorch_model", "unet/").startswith("unet/model.safetensors|")


def test_half_precision_is_read_into_single(file):
    filled = network()
    content = {name: tensor.bfloat16() for name, tensor in tensors().items()}
    fill_network(filled, file(content))
    assert torch.equal(filled.state_dict()["0.weight"], content["0.weight"].float())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"num_hidden_layers": 1000000000}', "num_hidden_layers is 1e+09, not a number from 0 to 1,000"),
        ('{"vision_config": {"num_hidden_layers": 1e300}}', "num_hidden_layers is 1e+300"),
        ('{"layers_per_block": [1, 2, 99999]}', "layers_per_block is 99999"),
        ('{"a": ' + "9" * 5000 + "}", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("[1]", "not a JSON object"),
        ("version https://git-lfs.github.com/spec/v1", "'git lfs pull' gets it"),
    ],
)
def test_a_configuration_is_read_without_trust(tmp_path, text, told):
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        read_configuration(path)
    assert told in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")


def test_tensors_are_read_by_name(file):
    assert read_tensors(file(tensors())).keys() == tensors().keys()
