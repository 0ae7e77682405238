"""The objectives of CHM and TransforMatcher: losses, gradients, and the files that come of them."""

from __future__ import annotations

import pytest
import torch

from matchers.backbones.checkpoints import read_checkpoint, save_checkpoint
from matchers.backbones.resnet import ResNet
from matchers.chm import objective as chm
from matchers.chm.network import Chm
from matchers.localizers.neighbours import Reach, transfer_points
from matchers.training.objective import Batch
from matchers.training.transferred import mean_of_pairs, transferred_offsets
from matchers.transformatcher import objective as transformatcher
from matchers.transformatcher.network import TransforMatcher

MODULES = {"chm": chm, "transformatcher": transformatcher}
NETWORKS = {"chm": Chm, "transformatcher": TransforMatcher}
OPTIONS = {"chm": {"width": 4, "side": 3}, "transformatcher": {"width": 8, "depth": 1, "heads": 2}}
SIDE = 64


def small_settings(method):
    options = {"chm": {"width": 4, "side": 3}, "transformatcher": {"width": 8, "depth": 1, "heads": 2}}[
        method
    ]
    settings = MODULES[method].OBJECTIVE.small
    return settings.model_copy(update={"image_size": SIDE, "options": {**settings.options, **options}})


def made(method):
    torch.manual_seed(0)
    start = ResNet(8, (8, 8, 12, 16), (1, 1, 2, 1), bottleneck=False).torchvision_state()
    settings = small_settings(method)
    return MODULES[method].OBJECTIVE.make_network(start, settings), settings


def batch():
    generator = torch.Generator().manual_seed(1)
    points = [torch.rand(count, 2, generator=generator) * SIDE for count in (3, 1)]
    return Batch(
        source=torch.randn(2, 3, SIDE, SIDE, generator=generator),
        target=torch.randn(2, 3, SIDE, SIDE, generator=generator),
        source_points=points,
        target_points=[SIDE - each for each in points],
        source_mask=None,
        target_mask=None,
        categories=("cat", "dog"),
    )


@pytest.mark.parametrize("method", MODULES)
def test_every_trained_tensor_has_a_gradient_and_the_loss_falls(method):
    network, settings = made(method)
    objective = MODULES[method].OBJECTIVE
    network.train()
    assert not any(module.training for module in network.backbone.modules())
    groups = objective.groups(network)
    assert len(groups.head) + len(groups.backbone) == len(list(network.parameters()))
    rates = [{"params": groups.head, "lr": 0.01}, {"params": groups.backbone, "lr": 1e-4}]
    optimizer = torch.optim.Adam(rates)
    losses = []
    for _ in range(12):
        loss = objective.loss(network, batch(), settings, torch.Generator())["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.9 * losses[0]
    assert all(parameter.grad is not None for parameter in groups.head)
    read = [network.backbone.source, network.backbone.target]
    assert all(net.embedder.embedder.convolution.weight.grad.abs().sum() > 0 for net in read)


@pytest.mark.parametrize("method", MODULES)
def test_a_checkpoint_is_read_as_the_authors_file(method, tmp_path):
    network, settings = made(method)
    # The roles' networks are trained apart.
    with torch.no_grad():
        network.backbone.target.embedder.embedder.convolution.weight.mul_(0.9)
    path = tmp_path / "weights.safetensors"
    save_checkpoint(path, *MODULES[method].OBJECTIVE.checkpoint(network, settings))
    read = NETWORKS[method].of(read_checkpoint(path))
    assert not read.backbone.is_shared
    pixels = batch()
    with torch.inference_mode():
        expected = network.eval()(pixels.source, pixels.target)
        assert torch.equal(read.eval()(pixels.source, pixels.target), expected)
    assert read_checkpoint(path).settings["image_size"] == SIDE


def test_the_losses_are_those_of_the_transferred_points():
    network, settings = made("chm")
    given = batch()
    with torch.inference_mode():
        volume = network(given.source, given.target)
        predicted = [
            transfer_points(volume[pair], given.source_points[pair] / 32 - 1, 17.0, Reach(0.1)) * 32 + 32
            for pair in range(2)
        ]
        squares = [
            ((points - wanted) / 32).square().mean()
            for points, wanted in zip(predicted, given.target_points, strict=True)
        ]
        loss = chm.lose(network, given, settings, torch.Generator())["loss"]
    assert loss == pytest.approx(float(sum(squares) / 2), rel=1e-4)


def test_distances_are_lengths_for_transformatcher():
    network, settings = made("transformatcher")
    given = batch()
    with torch.inference_mode():
        offsets = transferred_offsets(network(given.source, given.target), given, 10.0, transformatcher.REACH)
        loss = transformatcher.lose(network, given, settings, torch.Generator())["loss"]
    lengths = [offset.norm(dim=1).mean() for offset in offsets]
    assert loss == pytest.approx(float(sum(lengths) / 2), rel=1e-4)


def test_a_pair_without_keypoints_is_left_out():
    values = [torch.tensor([1.0, 3.0]), torch.zeros(0)]
    assert mean_of_pairs(values) == 2
    with pytest.raises(ValueError, match="keypoint"):
        mean_of_pairs(values[1:])
