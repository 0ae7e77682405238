"""ResNets: names and levels, weights that do not fit, the method `resnet`."""

from __future__ import annotations

import copy

import numpy as np
import PIL.Image
import pytest
import torch
from torch import nn

from harness.errors import UserError
from harness.plugins.loading import load_plugins
from harness.specs import ImageRequest, MakeContext
from matchers.backbones.checkpoints import save_checkpoint
from matchers.backbones.levels import parse_levels
from matchers.backbones.published import RESNET101
from matchers.backbones.resnet import ResNet
from matchers.weights import BUNDLED

SMALL = 8, (16, 32, 48), (2, 1, 2)


def small_resnet(*size, bottleneck=True):
    torch.manual_seed(0)
    network = ResNet(*(size or SMALL), bottleneck=bottleneck)
    for buffer in network.buffers():
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 1.5)
    return network.eval()


def torchvision_names(blocks, convolutions):
    """Names by torchvision's own scheme, of a network whose layers all begin with a shortcut."""
    modules = ["conv1", "bn1"]
    for layer, number in enumerate(blocks, start=1):
        for block in range(number):
            start = f"layer{layer}.{block}"
            for part in range(1, convolutions + 1):
                modules += [f"{start}.conv{part}", f"{start}.bn{part}"]
            if block == 0:
                modules += [f"{start}.downsample.0", f"{start}.downsample.1"]
    names = set()
    for module in modules:
        names.add(f"{module}.weight")
        if ".bn" in module or module == "bn1" or module.endswith("downsample.1"):
            norm = ("bias", "running_mean", "running_var", "num_batches_tracked")
            names |= {f"{module}.{kind}" for kind in norm}
    return names


@pytest.mark.parametrize(("bottleneck", "convolutions"), [(True, 3), (False, 2)])
def test_names_are_torchvisions_there_and_back(bottleneck, convolutions):
    network = small_resnet(bottleneck=bottleneck)
    state = network.torchvision_state()
    assert set(state) == torchvision_names(SMALL[2], convolutions)
    other = ResNet.like({**state, "fc.weight": torch.ones(3)}).load({**state, "fc.weight": torch.ones(3)})
    assert (other.blocks, other.channels) == (network.blocks, network.channels)
    pixels = torch.randn(1, 3, 64, 80)
    levels = range(network.last_level + 1)
    for one, two in zip(network(pixels, levels), other.eval()(pixels, levels), strict=True):
        assert torch.equal(one, two)


def test_names_are_torchvisions_inside_a_larger_network():
    whole = nn.ModuleDict({"backbone": small_resnet()})
    state = whole.state_dict()
    assert {name.removeprefix("backbone.") for name in state} == set(whole["backbone"].torchvision_state())
    other = copy.deepcopy(whole)
    nn.init.zeros_(other["backbone"].embedder.embedder.convolution.weight)
    other.load_state_dict(state)
    assert torch.equal(other.state_dict()["backbone.conv1.weight"], state["backbone.conv1.weight"])


def test_levels_are_counted_block_by_block():
    network = small_resnet()
    assert network.channels == (8, 16, 16, 32, 48, 48)
    assert [list(network.levels_of(layer)) for layer in (1, 2, 3)] == [[1, 2], [3], [4, 5]]
    pixels = torch.randn(1, 3, 64, 64)
    levels = [4, 0, 3, 4]
    after, before = (network(pixels, levels, before_relu) for before_relu in (False, True))
    for level, one, two in zip(levels, after, before, strict=True):
        assert one.shape == (1, network.channels[level], *[64 // network.stride(level)] * 2)
        assert torch.equal(one, two if level == 0 else two.relu())
    assert (before[0] < 0).any()
    with pytest.raises(UserError, match="level 6 of a ResNet that has levels 0 to 5"):
        network(pixels, [6])
    with pytest.raises(UserError, match="layer 4 of a ResNet that has layers 1 to 3"):
        network.levels_of(4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("layer2.0.bn2.bias"), r"F: 1 of its \d+ tensors is missing, layer2.0.bn2"),
        (lambda state: state.update({"bn1.bias": torch.ones(3)}), "F: bn1.bias has the shape"),
        (lambda state: state.update({"layer2.0.se.weight": torch.ones(3)}), "layer2.0.se.weight"),
        (lambda state: state.pop("conv1.weight"), "F: holds no ResNet"),
        (lambda state: state.pop("layer2.0.conv3.weight"), "F: holds no ResNet: layer2.0.conv3.weight"),
        (lambda state: state["bn1.weight"].fill_(float("nan")), "bn1.weight holds NaN"),
    ],
)
def test_weights_of_another_network_are_refused_by_name(change, message):
    state = {name: tensor.clone() for name, tensor in small_resnet().torchvision_state().items()}
    change(state)
    with pytest.raises(UserError, match=message):
        ResNet.like(state, "F").load(state, "F")


def test_loading_draws_no_random_numbers():
    state = small_resnet().torchvision_state()
    before = torch.get_rng_state()
    ResNet.like(state).load(state)
    assert torch.equal(torch.get_rng_state(), before)


def make(tmp_path, **params):
    path = tmp_path / "resnet.safetensors"
    save_checkpoint(path, small_resnet().torchvision_state(), {})
    spec = load_plugins().extractors["resnet"]
    return spec.make(MakeContext(params={**spec.params, **params}, weights={RESNET101: path}))


def picture(size):
    """Smooth colour noise."""
    coarse = np.random.default_rng(3).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return PIL.Image.fromarray(coarse).resize(size, PIL.Image.Resampling.BICUBIC)


def requests():
    return [ImageRequest(picture(size), str(size), "thing") for size in ((50, 40), (30, 70))]


def test_the_extractor_reads_layer3_after_its_relu(tmp_path):
    maps = make(tmp_path).extract(requests())
    assert [tuple(each.data.shape) for each in maps] == [(48, 16, 16)] * 2
    assert maps[0].frame.size == (256, 256)
    assert maps[0].data.min() == 0
    assert make(tmp_path, before_relu=True).extract(requests())[0].data.min() < 0
    # A batch gives what single pictures give, and a worker's input what the extractor prepares itself.
    extractor = make(tmp_path)
    ahead = [
        ImageRequest(each.picture, each.identity, "thing", prepared=extractor.prepare(each.image))
        for each in requests()
    ]
    for one, two in zip(extractor.extract(ahead), maps, strict=True):
        assert torch.allclose(one.data, two.data, atol=1e-5)


def test_levels_lie_one_after_another_on_the_finest_grid(tmp_path):
    deep = make(tmp_path, levels="5", image_size=128).extract(requests())[0].data
    both = make(tmp_path, levels="5,3", image_size=128).extract(requests())[0].data
    assert (tuple(deep.shape), tuple(both.shape)) == ((48, 8, 8), (80, 16, 16))
    # Corner to corner: corners stay as they are.
    assert torch.allclose(both[:48, ::15, ::15], deep[:, ::7, ::7], atol=1e-6)


def test_resizes_differ(tmp_path):
    maps = [
        make(tmp_path, resize=name, levels="0").extract(requests())[0].data
        for name in ("bilinear", "corners", "area")
    ]
    assert not torch.allclose(maps[0], maps[1], atol=1e-3)
    assert not torch.allclose(maps[0], maps[2], atol=1e-3)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"levels": "1,x"}, "levels=1,x: not whole numbers between commas"),
        ({"levels": "1,,2"}, "not whole numbers"),
        ({"levels": "3,-1"}, "level -1 of a ResNet that has levels 0 to 5"),
        ({"image_size": 16}, "image_size=16: not from 32 to 4096 pixels"),
    ],
)
def test_wrong_parameters_are_told(tmp_path, params, message):
    with pytest.raises(UserError, match=message):
        make(tmp_path, **params)


def test_a_network_without_layer3_has_no_level_by_itself():
    with pytest.raises(UserError, match="layer 3 of a ResNet that has layers 1 to 2"):
        parse_levels(None, small_resnet(8, (16, 32), (1, 1)))


def test_the_bundled_resnet_matches_objects(bench, tmp_path):
    done = bench("run", "--methods", "resnet", "--limit", 2, "--out", tmp_path / "cells")
    assert done.status == 0, done.err
    assert "tiny-resnet" in done.out
    assert (BUNDLED / "resnet.safetensors").stat().st_size < 10**6
