"""Objectives of NCNet and PWarpC-NCNet: known losses, known warps, and a training that begins."""

import math

import pytest
import torch

from harness.specs import MakeContext
from matchers.backbones.checkpoints import save_checkpoint
from matchers.backbones.resnet import ResNet
from matchers.ncnet import objective as ncnet
from matchers.ncnet import spec as ncnet_spec
from matchers.pwarpc import objective as pwarpc
from matchers.pwarpc import spec as pwarpc_spec
from matchers.pwarpc.warps import Warps, draw_warps, known_matches
from matchers.training.objective import Batch

OBJECTIVES = {"ncnet": (ncnet.OBJECTIVE, ncnet_spec), "pwarpc-ncnet": (pwarpc.OBJECTIVE, pwarpc_spec)}
SIDE = 64


@pytest.fixture(scope="module")
def backbone():
    torch.manual_seed(0)
    return ResNet(4, (8, 8, 12, 16), (1, 1, 2, 1)).torchvision_state()


def begin(method, backbone, **options):
    objective, _ = OBJECTIVES[method]
    settings = objective.small.model_copy(
        update={"image_size": SIDE, "options": {**objective.small.options, **options}}
    )
    torch.manual_seed(1)
    return objective, settings, objective.make_network(backbone, settings).train()


def batch_of(categories="aabb"):
    torch.manual_seed(2)
    noise = torch.randn(2 * len(categories), 3, 8, 8)
    pixels = torch.nn.functional.interpolate(noise, (SIDE, SIDE), mode="bilinear")
    source, target = pixels.chunk(2)
    return Batch(source, target, [], [], None, None, tuple(categories))


def take_steps(objective, settings, network, number):
    groups = objective.groups(network)
    optimizer = torch.optim.Adam([*groups.head, *groups.backbone], lr=0.001)
    losses = []
    for _ in range(number):
        generator = torch.Generator().manual_seed(0)
        parts = objective.loss(network, batch_of(), settings, generator)
        optimizer.zero_grad()
        parts["loss"].backward()
        optimizer.step()
        losses.append(float(parts["loss"].detach()))
    return losses


@pytest.mark.parametrize("method", OBJECTIVES)
def test_a_loss_that_is_minimised_becomes_smaller(method, backbone):
    objective, settings, network = begin(method, backbone)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    losses = take_steps(objective, settings, network, 6)
    assert losses[-1] < losses[0]
    changed = {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}
    # The backbone is frozen, its batch norms' means included.
    assert {name.removeprefix("matching_model.").split(".")[0] for name in changed} <= {
        "NeighConsensus",
        "bin_model",
    }
    assert any("NeighConsensus.conv.0.weight" in name for name in changed)


def test_blocks_of_the_backbone_can_be_tuned(backbone):
    objective, settings, network = begin("ncnet", backbone, tuned_blocks=1)
    names = {id(tensor): name for name, tensor in network.state_dict(keep_vars=True).items()}
    tuned = {names[id(parameter)] for parameter in objective.groups(network).backbone}
    assert "FeatureExtraction.model.6.1.conv1.weight" in tuned
    assert all(name.startswith("FeatureExtraction.model.6.1.") for name in tuned)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    take_steps(objective, settings, network, 1)
    changed = {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert {name for name in changed if name.startswith("FeatureExtraction")} == tuned


@pytest.mark.parametrize("method", OBJECTIVES)
def test_what_was_trained_is_what_the_method_reads(method, backbone, tmp_path):
    objective, settings, network = begin(method, backbone)
    path = tmp_path / "weights.safetensors"
    save_checkpoint(path, *objective.checkpoint(network, settings))
    _, spec = OBJECTIVES[method]
    context = MakeContext(weights={spec.SOURCE: path})
    assert spec.EXTRACTORS[0].image_size(context.weights) == (SIDE, SIDE)
    spec.MATCHERS[0].make(context)
    spec.EXTRACTORS[0].make(context)


def test_the_consensus_begins_as_a_blur(backbone):
    """Of constant correlations it makes the constant times the gain, away from the border."""
    _, settings, network = begin("ncnet", backbone)
    result = network.NeighConsensus(torch.full((1, 7, 7, 7, 7), 0.25))
    assert float(result[0, 3, 3, 3, 3].detach()) == pytest.approx(0.25 * settings.number("gain"), rel=1e-5)


def test_pairs_are_rated_in_both_directions():
    """Two cells against three: means of the best softmax probabilities over each side's cells."""
    correlation = torch.tensor([[1.0, 0.0, 2.0], [0.0, 3.0, 2.0]])
    there = [max(column) for column in zip(*correlation.softmax(0).tolist(), strict=True)]
    back = [max(row) for row in correlation.softmax(1).tolist()]
    expected = (sum(there) / 3 + sum(back) / 2) / 2
    rated = ncnet.rate_pairs(correlation.view(1, 1, 2, 1, 3))
    assert rated.tolist() == pytest.approx([expected])


def test_a_batch_of_one_category_has_no_shuffled_pairs(backbone):
    for method in OBJECTIVES:
        objective, settings, network = begin(method, backbone)
        parts = objective.loss(network, batch_of("aa"), settings, torch.Generator().manual_seed(0))
        assert float(parts["shuffled" if method == "ncnet" else "none"]) == 0
        assert math.isfinite(float(parts["loss"].detach()))


def test_a_known_shift_gives_known_matches():
    """Half a cell to the right and one down, of 4 x 5 cells: two cells share each match."""
    affine = torch.tensor([[[1.0, 0, 0.5 / 2], [0, 1, 1 / 1.5]]])
    warps = Warps(affine, torch.zeros(1, 2, 4, 4))
    weights, is_inside = known_matches(warps, 4, 5)
    assert weights.shape == (1, 20, 20)
    assert is_inside[0].view(4, 5).tolist() == [[True] * 4 + [False]] * 3 + [[False] * 5]
    # Cell (row 1, column 2) comes from row 2, between columns 2 and 3.
    column = weights[0, :, 1 * 5 + 2].view(4, 5)
    expected = torch.zeros(4, 5)
    expected[2, 2:4] = 0.5
    torch.testing.assert_close(column, expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(weights.sum(1), torch.ones(1, 20))


def test_a_warped_picture_shows_what_its_positions_say():
    """A picture whose two channels are its own coordinates is warped to the positions themselves."""
    objective, _ = OBJECTIVES["pwarpc-ncnet"]
    warps = draw_warps(3, objective.small, torch.Generator().manual_seed(0), torch.zeros(1))
    axis = torch.linspace(-1, 1, 33)
    picture = torch.stack(torch.meshgrid(axis, axis, indexing="xy")).expand(3, -1, -1, -1)
    positions = warps.positions(33, 33)
    is_inside = (positions.abs() <= 1).all(-1)
    assert 0.4 < float(is_inside.float().mean()) < 1
    difference = warps.apply(picture).permute(0, 2, 3, 1) - positions
    assert float(difference[is_inside].abs().max()) < 1e-5
    again = draw_warps(3, objective.small, torch.Generator().manual_seed(0), torch.zeros(1))
    assert torch.equal(again.affine, warps.affine)
    assert torch.equal(again.bends, warps.bends)


def test_visible_cells_are_the_most_probable_ones_inside():
    probability = torch.tensor([[0.9, 0.1, 0.5, 0.3, 0.7]])
    is_inside = torch.tensor([[False, True, True, True, True]])
    visible = pwarpc.choose_visible(probability, is_inside, 0.5)
    assert visible.tolist() == [[False, False, True, False, True]]


def test_cross_entropy_counts_the_cells_that_count():
    probability = torch.tensor([[[0.5, 0.1], [0.25, 0.0]]])
    weights = torch.tensor([[[0.5, 1.0], [0.5, 0.0]]])
    expected = -(0.5 * math.log(0.5) + 0.5 * math.log(0.25))
    counted = pwarpc.cross_entropy(probability, weights, torch.tensor([[True, False]]))
    assert float(counted) == pytest.approx(expected)
    assert float(pwarpc.cross_entropy(probability, weights, torch.tensor([[False, False]]))) == 0
