"""Heads learn on features of frozen networks: batches, rates, losses, labels, and `bench train`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.datasets.shapes.spec import SHAPES
from harness.datasets.splits import read_split
from harness.errors import UserError
from harness.frames import Frame, Size
from harness.plugins.loading import load_plugins
from harness.specs import FeatureMap, valid_points
from harness.weights.choice import WeightChoice, resolve_weights
from heads.aggregation.files import load_aggregation
from heads.aggregation.training import _end_point_error, cells_of, make_network, read_cells
from heads.diy.objective import OBJECTIVE as DIY
from heads.diy.objective import compared_features
from heads.diy.pseudo_labels import consistent_matches
from heads.geoaware.objective import OBJECTIVE as GEOAWARE
from heads.training.objectives import MODULES
from matchers.backbones.checkpoints import save_checkpoint
from matchers.training.features import PictureFeatures, open_features, start_names
from matchers.training.inputs import BatchMaker, Masks, seeded
from matchers.training.objective import Batch
from matchers.training.objectives import find_objective
from matchers.training.settings import _one_cycle, choose_settings

OPTIONS = {"projection": 16, "width": 8, "groups": 4}
SIDE = 64


def settings_of(objective, **changes):
    small = objective.small
    options = {**small.options, **OPTIONS}
    return small.model_copy(update={"image_size": SIDE, "options": options, **changes})


class CountedFeatures:
    """Features that show where a picture's bright pixels are, and count their calls."""

    channels = (2, 1)
    side = SIDE

    def __init__(self):
        self.calls = 0

    def __call__(self, request):
        self.calls += 1
        data = torch.full((3, 8, 8), float(np.asarray(request.image).mean()))
        return FeatureMap(data, Frame.padded(request.size, SIDE))


@pytest.mark.parametrize("method", MODULES)
def test_an_objectives_settings_are_whole(method):
    objective = find_objective(method, MODULES)
    assert objective.method == method
    for settings in (objective.published, objective.small):
        assert (settings.steps is None) != (settings.epochs is None)
        assert set(settings.options) == set(objective.option_help)
    if objective.features is None:
        return
    with pytest.raises(UserError, match="width=9, groups=4: not so many groups of equal size"):
        changed = choose_settings(objective, "small", {}, {"width": "9", "groups": "4"})
        make_network({"level0": torch.empty(3, 0, 0)}, changed)


@pytest.mark.parametrize("steps", [3, 10, 101])
def test_the_rate_of_one_cycle_is_torchs(steps):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1.0, total_steps=steps)
    for step in range(steps):
        assert _one_cycle(step, steps) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-9)
        optimizer.step()
        if step < steps - 1:
            cycle.step()
    assert 0 <= _one_cycle(0, 1) <= 1


def test_batches_hold_features_in_the_padded_frame_and_see_each_picture_once():
    index, features = read_split(SHAPES, Path(), "val"), CountedFeatures()
    pairs = list(index.pairs.values())[::200]
    settings = settings_of(DIY, batch=4)
    masks = Masks.of(SHAPES, Path(), "val")
    maker = BatchMaker(
        DIY, settings, pairs, masks, 0, 4, torch.device("cpu"), PictureFeatures(features, None, index)
    )
    batches = [maker.make(step) for step in range(4)]
    names = {image.name for pair in pairs for image in (pair.source, pair.target)}
    assert features.calls <= len(names)
    batch = batches[0]
    assert batch.source.shape == (4, 3, 8, 8) and batch.source_mask.shape == (4, 1, SIDE, SIDE)
    sizes = {pair.source_size for pair in pairs}
    assert any(size.width != size.height for size in sizes)
    hits = []
    for mask, points in zip(batch.target_mask, batch.target_points, strict=True):
        x, y = points.long().unbind(1)
        hits += torch.nn.functional.max_pool2d(mask, 5, 1, 2)[0][y, x].tolist()
    assert np.mean(hits) > 0.9
    pair = next(pair for pair in pairs if pair.source_size.width != pair.source_size.height)
    alone = BatchMaker(
        DIY, settings, [pair], masks, 0, 1, torch.device("cpu"), PictureFeatures(features, None, index)
    ).make(0)
    wanted = Frame.padded(pair.source_size, SIDE).from_original(pair.source_points[valid_points(pair)])
    np.testing.assert_allclose(alone.source_points[0].numpy(), wanted, atol=2e-3)


def batch_of(objective):
    torch.manual_seed(0)
    features = torch.randn(2, 12, 8, 8)
    points = [torch.rand(5, 2) * 40 + 8 for _ in range(2)]
    mask = torch.zeros(2, 1, SIDE, SIDE)
    mask[:, :, 8:56, 8:56] = 1
    target = features.roll((1, 1), (2, 3))
    return Batch(features, target, points, [each + 8 for each in points], mask, mask, ("a", "b"))


@pytest.mark.parametrize("objective", [GEOAWARE, DIY], ids=["geoaware-sc", "diy-sc"])
def test_training_lowers_the_loss_and_makes_a_file_that_is_read(objective, tmp_path):
    settings, batch = settings_of(objective), batch_of(objective)
    torch.manual_seed(1)
    network = make_network({"level0": torch.empty(8, 0, 0), "level1": torch.empty(4, 0, 0)}, settings).train()
    optimizer = torch.optim.AdamW(objective.groups(network).head, lr=3e-3)
    losses = []
    for step in range(40):
        parts = objective.loss(network, batch, settings, seeded(step))
        optimizer.zero_grad()
        parts["loss"].backward()
        optimizer.step()
        losses.append(float(parts["loss"].detach()))
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:3])
    path = tmp_path / "head.safetensors"
    save_checkpoint(path, *objective.checkpoint(network, settings))
    again = load_aggregation(path)
    assert again.shape.groups == 4 and again.shape.channels == (8, 4)
    assert torch.equal(again(batch.source), network.eval()(batch.source))


def test_the_end_point_error_is_the_distance_of_displacements_in_cells():
    # A feature of its own for every cell of the target, so that soft-argmax finds it exactly.
    target = torch.eye(20).reshape(20, 4, 5)
    start = torch.tensor([[1.5, 2.25], [0.25, 3.5]])
    goal = torch.tensor([[3.5, 1.25], [2.25, 2.5]])
    queries = read_cells(target, torch.tensor([[3.0, 1.0], [4.0, 2.0]]))
    error = _end_point_error(queries, target, start, goal, 0.02)
    # Displacements (2, -1) and (4, -1) from the cells (1, 2) and (0, 3); the true ones are (2, -1) twice.
    assert float(error) == pytest.approx((0 + 2) / 2, abs=1e-4)
    cells = cells_of(torch.tensor([[32.0, 63.9]]), SIDE, Size(5, 4))
    assert torch.allclose(cells, torch.tensor([[2.5, 3.99375]]))


def test_labels_are_matches_within_masks_that_lead_back():
    torch.manual_seed(0)
    source = torch.randn(16, 6, 6)
    target = source.roll((1, 2), (1, 2))
    # Where the roll came round, nothing of the target is like the source.
    mask = torch.zeros(1, 12, 12)
    mask[:, 2:8, 2:8] = 1
    all_of_it = torch.ones(1, 12, 12)
    options = {"number": 50, "reach": 0.0, "generator": seeded(0)}
    start, goal = consistent_matches(source, target, mask, all_of_it, **options)
    assert len(start) == 9 and torch.equal(goal, start + torch.tensor([2.0, 1.0]))
    assert set(start.flatten().tolist()) == {1.5, 2.5, 3.5}
    start, _ = consistent_matches(source, target, mask, all_of_it, **{**options, "number": 4})
    assert len(start) == 4
    # Two cells cannot both be led back to, unless the way may end beside its beginning.
    one = torch.zeros(1, 12, 12)
    one[:, 4:6, 4:6] = 1
    start, goal = consistent_matches(source, target, mask, one, **options)
    assert len(start) == 1 and goal.tolist() == [[2.5, 2.5]]
    start, _ = consistent_matches(source, target, mask, one, **{**options, "reach": 9.0})
    assert len(start) == 9
    start, goal = consistent_matches(source, target, mask, 0 * mask, **options)
    assert start.shape == goal.shape == (0, 2)


def test_the_last_level_weighs_as_much_as_all_before():
    features = torch.rand(1, 5, 2, 2) * torch.tensor([100.0, 100, 100, 1, 1]).view(1, 5, 1, 1)
    compared = compared_features(features, (2, 1, 2))
    for part in compared.split([3, 2], dim=1):
        assert torch.allclose(part.norm(dim=1), torch.ones(1, 2, 2))


def test_bench_train_writes_a_head_that_its_method_reads(tmp_path, bench):
    words = ["train", "diy-sc", "--no-tensorboard", "--device", "cpu", "--limit-train", "2"]
    words += ["--limit-validation", "1", "--batch-size", "2", "--steps", "1", "--out", str(tmp_path / "out")]
    done = bench(*words, "--split", "val")
    assert done.status == 0, done.err
    record = json.loads((tmp_path / "out" / "record.json").read_text())
    assert record["source"] == "diy-sc" and list(record["weights"]) == ["tiny-dino"]
    assert record["settings"]["training"]["decay"] == "one-cycle"
    assert [each["step"] for each in record["validation"]] == [0, 1]
    head = load_aggregation(tmp_path / "out" / "best.safetensors")
    assert head.shape.channels == (128,)


def test_frozen_networks_decide_the_size_of_the_input():
    host, index = load_plugins(points=[]), read_split(SHAPES, Path(), "val")
    used = resolve_weights(host, WeightChoice(), start_names(host, DIY))
    features = open_features(host, DIY, DIY.small, index, used, "cpu")
    assert features.channels == (128,)
    with pytest.raises(UserError, match="image_size=840: the frozen networks look at 152 x 152 pixels"):
        open_features(host, DIY, DIY.published, index, used, "cpu")
    # With the prompt's own weights, since a picture's prompt is made anew.
    assert start_names(host, GEOAWARE)[:2] == ["stable-diffusion-1-5", "dinov2-base"]
    assert start_names(host, GEOAWARE)[2:] == list(host.prompts["implicit-captioner"].weights)
