"""What CATs, SemiMatch and SCorrSAN learn from, and that they learn."""

from __future__ import annotations

import pytest
import torch

from harness.errors import UserError
from matchers.backbones.checkpoints import read_checkpoint, save_checkpoint
from matchers.backbones.resnet import ResNet
from matchers.cats import objective as cats
from matchers.cats.files import load_cats
from matchers.cats.targets import sparse_flow
from matchers.localizers.flow_pixel import flow_of_volume
from matchers.scorrsan import objective as scorrsan
from matchers.scorrsan.files import load_scorrsan
from matchers.scorrsan.network import enlarge
from matchers.semimatch import objective as semimatch
from matchers.training.objective import Batch
from matchers.training.objectives import find_objective

SIDE = 64
CATS_OPTIONS = {"levels": "0,2,3", "grid": 4, "projection": 8, "heads": 3}
SETTINGS = {
    "cats": CATS_OPTIONS,
    "semimatch": {**CATS_OPTIONS, "sure": 0.01},
    "scorrsan": {
        "level": 3,
        "width": 24,
        "kernel": 3,
        "grid": 8,
        "label_step": 0,
        "dilation": 3,
        "weight": 0.1,
    },
}


def backbone():
    torch.manual_seed(0)
    # The fourth layer is read by nobody.
    return ResNet(8, (12, 16, 20, 24), (1, 1, 1, 1)).state_dict()


def settings_of(method):
    small = find_objective(method).small
    changes = {"image_size": SIDE, "options": {**small.options, **SETTINGS[method]}}
    return small.model_copy(update=changes)


def batch_of(count=4, step=0):
    generator = torch.Generator().manual_seed(0)
    noise = torch.nn.functional.interpolate(torch.randn(count, 3, 9, 9, generator=generator), (SIDE, SIDE))
    points = [torch.rand(6, 2, generator=generator) * 48 for _ in range(count)]
    return Batch(
        source=noise,
        target=noise.roll((8, 8), (2, 3)),
        source_points=points,
        target_points=[each + 8 for each in points],
        source_mask=None,
        target_mask=None,
        categories=("a",) * count,
        step=step,
        steps=12,
    )


def start_of(method):
    """Tensors that a training starts from."""
    if method != "semimatch":
        return backbone()
    return cats.make_network(backbone(), settings_of("cats")).state_dict()


@pytest.mark.parametrize("method", SETTINGS)
def test_training_lowers_the_loss_and_makes_a_file_that_the_recipe_reads(method, tmp_path):
    objective, settings = find_objective(method), settings_of(method)
    start = start_of(method)
    torch.manual_seed(1)
    network = objective.make_network(start, settings).train()
    groups = objective.groups(network)
    optimizer = torch.optim.Adam([{"params": groups.head}, {"params": groups.backbone}], 2e-3)
    means = {n: t.clone() for n, t in network.state_dict().items() if "running" in n}
    losses = []
    for _ in range(12):
        # The same noise each time, so that the losses can be compared.
        parts = objective.loss(network, batch_of(), settings, torch.Generator().manual_seed(1))
        optimizer.zero_grad()
        parts["loss"].backward()
        optimizer.step()
        losses.append(float(parts.get("keypoints", parts["loss"]).detach()))
    assert losses[-1] < 0.8 * losses[0]
    after = network.state_dict()
    assert means
    assert all(torch.equal(value, after[name]) for name, value in means.items())
    path = tmp_path / "trained.safetensors"
    save_checkpoint(path, *objective.checkpoint(network, settings))
    loaded = (load_scorrsan if method == "scorrsan" else load_cats)(path)
    trained = network.first if method == "scorrsan" else network
    assert all(torch.equal(value, trained.state_dict()[name]) for name, value in loaded.state_dict().items())
    assert not any("layer4" in name for name in read_checkpoint(path).tensors)
    assert {*groups.head, *groups.backbone} == set(network.parameters())


def test_cells_learn_from_the_keypoints_around_their_centres():
    points = torch.tensor([[20.0, 20.0], [28.0, 20.0]])
    flow, is_known = sparse_flow(points, points + torch.tensor([16.0, 4.0]), grid=4, side=SIDE)
    # Cells of 16 pixels: both points are within 17 of the centres of the four cells in the upper middle.
    assert is_known.nonzero().tolist() == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]
    # The first alone, both (their mean is 24, and the last one leads to 44), the second alone.
    assert flow[0, 0, :3].tolist() == [1, 1.25, 1]
    assert flow[1, 0, :3].tolist() == [0.25] * 3
    assert not flow[:, ~is_known].any()
    empty, nothing = sparse_flow(torch.zeros(0, 2), torch.zeros(0, 2), grid=4, side=SIDE)
    assert not empty.any()
    assert not nothing.any()


def test_the_error_is_nothing_where_matches_are_right_and_grows_by_cells():
    grid = 8
    batch = batch_of()
    volume = torch.zeros(4, *(grid,) * 4)
    for row in range(grid):
        for column in range(grid):
            volume[:, row, column, min(row + 1, grid - 1), min(column + 1, grid - 1)] = 1
    # Points move by 8 pixels, one cell; those in the last row and column are beyond the volume's.
    right = cats.end_point_error(volume, batch, 0.02)
    wrong = cats.end_point_error(volume.roll(1, 3), batch, 0.02)
    assert right < 0.2
    assert wrong > 0.8
    bare = batch_of()
    bare.source_points[:] = bare.target_points[:] = [torch.zeros(0, 2)] * 4
    assert cats.end_point_error(volume.requires_grad_(), bare, 0.02) == 0


def test_rows_that_are_needed_are_those_of_the_enlarged_volume():
    volume = torch.rand(1, 4, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    whole = flow_of_volume(enlarge(volume, 8), 0.05)[0].flatten(1)
    cells = torch.tensor([0, 9, 27, 63])
    assert torch.allclose(scorrsan.flow_at(volume[0], cells, 8, 0.05), whole[:, cells].T, atol=1e-5)


def test_networks_label_for_each_other_from_their_step_on():
    settings = settings_of("scorrsan")
    torch.manual_seed(0)
    network = scorrsan.make_network(backbone(), settings).train()
    late = settings.model_copy(update={"options": {**settings.options, "label_step": 3}})
    generator = torch.Generator()
    before, after = (scorrsan.lose(network, batch_of(step=step), late, generator) for step in (2, 3))
    assert before["labels"] == 0
    assert after["labels"] > 0
    assert torch.allclose(before["keypoints"], after["keypoints"])
    assert torch.allclose(after["loss"], 2 * after["keypoints"] + 0.1 * 2 * after["labels"])
    assert scorrsan.smallest(torch.tensor([3.0, 1.0, 2.0, 5.0]), 0.5).tolist() == [1, 2]
    known = torch.zeros(6, 6, dtype=torch.bool)
    known[2, 2] = True
    assert scorrsan.widen(known, 3).nonzero().tolist() == [[y, x] for y in (1, 2, 3) for x in (1, 2, 3)]


def test_labels_are_sure_matches_that_agree_in_both_directions():
    settings = settings_of("semimatch")
    settings = settings.model_copy(update={"options": {**settings.options, "sure": 0.5, "reach": 0}})
    grid = 3
    volume = torch.eye(grid * grid)
    # Cell 0 hesitates; cell 8 is drawn to the match of cell 4, which prefers cell 4.
    volume[0] = 0
    volume[8, 8], volume[8, 4] = 0, 0.9
    goals, is_sure = semimatch.label(volume.view(1, grid, grid, grid, grid), settings)
    assert goals[0].tolist()[1:] == [1, 2, 3, 4, 5, 6, 7, 4]
    assert is_sure[0].tolist() == [False, True, True, True, True, True, True, True, False]


def test_changed_pictures_follow_from_the_generator_and_miss_a_square():
    settings = settings_of("semimatch")
    pixels = torch.rand(2, 3, SIDE, SIDE)
    once, again, otherwise = (
        semimatch.change_strongly(pixels, settings, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)
    )
    assert torch.equal(once, again)
    assert not torch.equal(once, otherwise)
    hidden = round(0.25 * SIDE)
    assert (once == 0).all(1).sum((1, 2)).tolist() == [hidden**2] * 2


def test_semimatch_begins_with_cats_network_of_the_same_sizes():
    start = start_of("semimatch")
    network = semimatch.make_network(start, settings_of("semimatch"))
    assert all(torch.equal(value, start[name]) for name, value in network.state_dict().items())
    other = settings_of("semimatch")
    other = other.model_copy(update={"options": {**other.options, "projection": 14}})
    with pytest.raises(UserError, match=r"weights cats: tensor .* is of shape"):
        semimatch.make_network(start, other)
    with pytest.raises(UserError, match=r"weights cats: tensor .* is missing"):
        semimatch.make_network(
            {n: t for n, t in start.items() if n != "proj.1.bias"}, settings_of("semimatch")
        )


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"levels": "0,9"}, "level 9 of a ResNet that has levels 0 to 4"),
        ({"levels": "all"}, "'all' are not whole numbers"),
        ({"heads": 5}, "a width of 24"),
    ],
)
def test_settings_that_do_not_fit_are_told(options, text):
    settings = settings_of("cats")
    settings = settings.model_copy(update={"options": {**settings.options, **options}})
    with pytest.raises(UserError, match=text):
        cats.make_network(backbone(), settings)
