"""MARCO's training: its loss, its schedule, and the file that it makes."""

from __future__ import annotations

import math

import pytest
import torch
from support.vision_transformers import save_network

from harness.errors import UserError
from harness.frames import Frame, Size
from harness.specs import FeatureMap
from heads.marco.files import load_marco
from heads.marco.localizer import MarcoTransfer
from heads.marco.objective import OBJECTIVE, PUBLISHED, SMALL, sigma_at, spread_cross_entropy, transfer
from matchers.backbones.checkpoints import read_settings, save_checkpoint
from matchers.training.objective import Batch

SIDE = 32


def settings_of(**options):
    small = {"first_block": 2, "kernel": 7, "sigma": 1.5, "held_steps": 0, "narrowed_steps": 10}
    return SMALL.model_copy(update={"image_size": SIDE, "options": {**SMALL.options, **small, **options}})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_network(tmp_path_factory.mktemp("start") / "v2-registers", "v2-registers")


@pytest.fixture(scope="module")
def start(folder):
    return OBJECTIVE.read_start(folder)


def batch_of(count=2, step=0):
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randn(2, count, 3, SIDE, SIDE, generator=generator)
    points = [SIDE * torch.rand(3 + row, 2, generator=generator) for row in range(count)]
    targets = [part.flip(0) for part in points]
    return Batch(*pictures, points, targets, None, None, ("cat",) * count, step, 10)


def test_the_head_learns_and_the_backbone_stays(start):
    torch.manual_seed(0)
    network = OBJECTIVE.make_network(start, settings_of())
    before = {name: part.clone() for name, part in network.backbone.state_dict().items()}
    groups = OBJECTIVE.groups(network)
    assert not groups.backbone
    for parameter in network.backbone.parameters():
        parameter.requires_grad_(False)
    optimizer = torch.optim.Adam(groups.head, lr=3e-3)
    losses = []
    for _ in range(10):
        network.train()
        assert not network.backbone.training
        loss = OBJECTIVE.loss(network, batch_of(), settings_of(), torch.Generator())["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] - 0.3
    after = network.backbone.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert all(parameter.grad is not None for parameter in groups.head)


def test_adapters_add_nothing_at_first(start, folder):
    from baselines.vit.backbone import VisionTransformer

    network = OBJECTIVE.make_network(start, settings_of())
    pixels = torch.randn(1, 3, SIDE, SIDE)
    with torch.no_grad():
        tokens = network.tokens(pixels)
    torch.testing.assert_close(tokens, VisionTransformer(folder).features(pixels, -1, "token-norm"))


def test_the_loss_looks_at_a_gaussian_in_whole_cells_around_the_point():
    generator = torch.Generator().manual_seed(1)
    probabilities = torch.rand(2, 6, 8, generator=generator)
    centres, sigma = torch.tensor([[3.0, 2.0], [0.0, 5.0]]), 1.2
    expected = []
    for probability, (x, y) in zip(probabilities, centres.long().tolist(), strict=True):
        total = 0.0
        for down in (-1, 0, 1):
            for across in (-1, 0, 1):
                column, row = x + across, y + down
                # The outermost cells are not looked at.
                if 0 < column < 7 and 0 < row < 5:
                    weight = math.exp(-(across**2 + down**2) / (2 * sigma**2)) / (2 * math.pi * sigma**2)
                    total -= weight * math.log(float(probability[row, column]) + 1e-6)
        expected.append(total)
    losses = spread_cross_entropy(probabilities, centres, sigma, 1)
    torch.testing.assert_close(losses, torch.tensor(expected))
    # Between two cells, the probability is that between them.
    between = spread_cross_entropy(probabilities, torch.tensor([[3.5, 2.0]]).expand(2, 2), sigma, 0)
    mean = probabilities[0, 2, 3:5].mean()
    assert float(between[0]) == pytest.approx(-math.log(float(mean)) / (2 * math.pi * sigma**2), rel=1e-4)
    assert spread_cross_entropy(probabilities[:0], centres[:0], sigma, 1).shape == (0,)


def test_it_is_trained_as_it_is_read():
    generator = torch.Generator().manual_seed(2)
    source, target = 3 * torch.randn(2, 16, 8, 8, generator=generator)
    points = SIDE * torch.rand(5, 2, generator=generator)
    frame = Frame.unchanged(Size(SIDE, SIDE))
    maps = [FeatureMap(data, frame) for data in (source, target)]
    products = MarcoTransfer().similarity(*maps, points.double())
    probabilities = transfer(source, target, points, SIDE, 10.0)
    torch.testing.assert_close(probabilities.flatten(1), (products / 10).flatten(1).softmax(1))


def test_the_gaussian_becomes_narrower():
    widths = {step: sigma_at(step, PUBLISHED) for step in (0, 1000, 6500, 12000, 30000)}
    assert widths == pytest.approx({0: 3.5, 1000: 3.5, 6500: 2.25, 12000: 1.0, 30000: 1.0})
    assert set(OBJECTIVE.option_help) == set(PUBLISHED.options) == set(SMALL.options)


def test_the_file_is_read_back(start, folder, tmp_path):
    torch.manual_seed(3)
    settings = settings_of()
    network = OBJECTIVE.make_network(start, settings).eval()
    torch.nn.init.normal_(network.head.adapter(3).up_proj.weight)
    path = tmp_path / "marco.safetensors"
    save_checkpoint(path, *OBJECTIVE.checkpoint(network, settings))
    assert read_settings(path) == {"fit": "pad", "image_size": SIDE}
    pixels = torch.randn(1, 3, SIDE, SIDE)
    with torch.no_grad():
        torch.testing.assert_close(load_marco(folder, path)(pixels), network(pixels))


def test_points_lie_where_the_picture_is_laid():
    assert OBJECTIVE.frame(Size(40, 20), settings_of()) == Frame.padded(Size(40, 20), SIDE, "corner")
    stretched = OBJECTIVE.frame(Size(40, 20), settings_of(fit="stretch"))
    assert stretched == Frame.stretched(Size(40, 20), Size(SIDE, SIDE))


@pytest.mark.parametrize(
    ("options", "changes", "problem"),
    [
        ({"first_block": 4}, {}, "first_block=4: .* has blocks 0 to 3"),
        ({"inner": 0.0}, {}, "inner=0.0, enlargements=2: an adapter has at least one"),
        ({"enlargements": 0}, {}, "a map is enlarged at least once"),
        ({}, {"image_size": 35}, "image_size=35: not a whole number of patches of 8 pixels; take 32"),
    ],
)
def test_settings_that_do_not_fit_are_refused(start, options, changes, problem):
    with pytest.raises(UserError, match=problem):
        OBJECTIVE.make_network(start, settings_of(**options).model_copy(update=changes))
    with pytest.raises(UserError, match="fit=crop: not one of pad, stretch"):
        OBJECTIVE.prepare(settings_of(fit="crop"))


def test_a_batch_without_keypoints_has_no_loss(start):
    network = OBJECTIVE.make_network(start, settings_of())
    batch = batch_of(1)
    empty = Batch(batch.source, batch.target, [torch.zeros(0, 2)], [torch.zeros(0, 2)], None, None, ("cat",))
    loss = OBJECTIVE.loss(network, empty, settings_of(), torch.Generator())["loss"]
    assert float(loss.detach()) == 0
    loss.backward()
