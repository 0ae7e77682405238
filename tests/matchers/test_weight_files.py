"""Checkpoints of matchers: the forms they come in, what is refused, and files that are written."""

from __future__ import annotations

import argparse
import pathlib

import numpy as np
import pytest
import torch
from torch import nn

from harness.errors import UserError
from harness.plugins.loading import load_plugins
from matchers.backbones.checkpoints import (
    load_tensors,
    read_checkpoint,
    read_settings,
    save_checkpoint,
    split_roles,
)

NETWORKS = (
    *("ncnet", "pwarpc-ncnet", "sfnet", "pmd", "cats", "semimatch", "scorrsan"),
    *("dhpf", "chm", "transformatcher", "simsc"),
)

TENSORS = {"head.weight": torch.arange(6.0).view(2, 3), "head.bias": torch.ones(2)}


@pytest.fixture(scope="module")
def host():
    return load_plugins(points=[])


def same(tensors, expected=None):
    expected = TENSORS if expected is None else expected
    return tensors.keys() == expected.keys() and all(torch.equal(tensors[n], expected[n]) for n in expected)


def training_state():
    network = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [3, 5])
    return {
        "epoch": 3,
        "args": argparse.Namespace(ncons_kernel_sizes=[5, 5, 5], fe_finetune_params=1),
        "state_dict": TENSORS,
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
        "best_loss": np.float64(0.5),
        "train_loss": np.zeros(4),
        "counts": np.arange(3),
    }


@pytest.mark.parametrize("is_archive", [True, False])
@pytest.mark.parametrize(
    "content",
    [
        TENSORS,
        {"state_dict": TENSORS, "epoch": 1},
        {"model": {f"module.{name}": tensor for name, tensor in TENSORS.items()}},
        training_state(),
    ],
    ids=["raw", "wrapped", "parallel", "training"],
)
def test_every_form_is_read(tmp_path, content, is_archive):
    path = tmp_path / "model.pth.tar"
    torch.save(content, path, _use_new_zipfile_serialization=is_archive)
    checkpoint = read_checkpoint(path)
    assert same(checkpoint.tensors)
    assert checkpoint.settings == {}
    assert same(checkpoint.part("head."), {"weight": TENSORS["head.weight"], "bias": TENSORS["head.bias"]})


def test_several_networks_of_one_file(tmp_path):
    path = tmp_path / "best_checkpoint.pt"
    torch.save({"state_dict1": TENSORS, "state_dict2": {"x": torch.zeros(1)}}, path)
    checkpoint = read_checkpoint(path)
    assert same(checkpoint.group("state_dict1"))
    assert checkpoint.group("state_dict2").keys() == {"x"}
    with pytest.raises(UserError, match="there is no 'chn4_dict'"):
        checkpoint.group("chn4_dict")
    with pytest.raises(UserError, match=r"no tensor begins with 'backbone\.'"):
        checkpoint.part("backbone.")


def test_a_pickle_that_holds_more_is_refused_and_the_object_named(tmp_path):
    path = tmp_path / "model.pth"
    torch.save({"state_dict": TENSORS, "folder": pathlib.PurePosixPath("/")}, path)
    with pytest.raises(UserError, match=r"holds more than tensors \(pathlib.*PurePosixPath\)") as told:
        read_checkpoint(path)
    assert "\n" not in str(told.value)


def test_nothing_of_a_pickle_is_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (pathlib.Path.touch, (tmp_path / "trace",))

    path = tmp_path / "model.pth"
    torch.save({"state_dict": TENSORS, "trap": Trap()}, path)
    with pytest.raises(UserError, match="nothing in it was run"):
        read_checkpoint(path)
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("name", ["model.pth", "model.safetensors"])
def test_damaged_files_are_told(tmp_path, name, share):
    path = tmp_path / name
    if name.endswith(".pth"):
        torch.save(TENSORS, path)
    else:
        save_checkpoint(path, TENSORS, {})
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(UserError, match=name):
        read_checkpoint(path)


def test_settings_come_back_and_bytes_are_the_same(tmp_path):
    settings = {"image_size": 64, "levels": "0,3", "temperature": 0.02, "bin": True}
    paths = [tmp_path / name for name in ("a.safetensors", "b.safetensors")]
    save_checkpoint(paths[0], TENSORS, settings)
    save_checkpoint(paths[1], dict(reversed(TENSORS.items())), dict(reversed(settings.items())))
    assert paths[0].read_bytes() == paths[1].read_bytes()
    checkpoint = read_checkpoint(paths[0])
    assert same(checkpoint.tensors)
    assert checkpoint.settings == settings == read_settings(paths[0])
    assert (checkpoint.setting("image_size", 256), checkpoint.setting("sigma", 5)) == (64, 5)


@pytest.mark.parametrize("text", ["[1]", "{", "3"])
def test_settings_that_are_no_object_are_told(tmp_path, text):
    from safetensors.torch import save_file

    path = tmp_path / "a.safetensors"
    save_file(TENSORS, path, {"settings": text})
    with pytest.raises(UserError, match="'settings' is not a JSON object"):
        read_checkpoint(path)


def test_roles_are_the_halves_of_the_first_axis():
    tensors = {
        "conv1.weight": torch.arange(4.0).view(4, 1, 1, 1),
        "bn1.num_batches_tracked": torch.tensor(7),
        "fc.weight": torch.ones(3, 2),
    }
    source, target = split_roles(tensors)
    assert source.keys() == target.keys() == {"conv1.weight", "bn1.num_batches_tracked"}
    assert source["conv1.weight"].flatten().tolist() == [0, 1]
    assert target["conv1.weight"].flatten().tolist() == [2, 3]
    with pytest.raises(UserError, match=r"F: tensor bn1\.bias has 3 rows"):
        split_roles({"bn1.bias": torch.ones(3)}, "F")


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"weight": torch.ones(2, 3)}, "m.pth: 1 of its 2 tensors is missing, bias"),
        ({"weight": torch.ones(2, 4), "bias": torch.ones(2)}, r"weight has the shape \(2, 4\)"),
        ({"conv.weight": torch.ones(2, 3), "conv.bias": torch.ones(2)}, "all of its 2 tensors are missing"),
        ({"weight": torch.ones(2, 3), "bias": torch.ones(2), "more": torch.ones(1)}, "more"),
        ({"weight": torch.ones(2, 3).int(), "bias": torch.ones(2)}, "weight holds int32"),
    ],
)
def test_tensors_of_another_network_are_told(tmp_path, tensors, message):
    with pytest.raises(UserError, match=message):
        load_tensors(nn.Linear(3, 2), tensors, tmp_path / "m.pth")


@pytest.mark.parametrize("side", [-1, 0, 10**9, True, 64.5, "x", None])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_file_whose_image_size_is_none_is_told(host, tmp_path, name, side):
    path = tmp_path / "m.safetensors"
    save_checkpoint(path, TENSORS, {"image_size": side})
    with pytest.raises(UserError) as caught:
        host.extractors[name].fed({name: path})
    message = str(caught.value)
    assert str(path) in message and repr(side) in message and "\n" not in message
