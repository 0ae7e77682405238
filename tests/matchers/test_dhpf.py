"""DHPF from files of weights to points, its votes, gates and training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch

from harness.errors import UserError
from harness.plugins.loading import load_plugins
from harness.specs import ImageRequest, MakeContext
from matchers.backbones.checkpoints import save_checkpoint
from matchers.backbones.resnet import ResNet
from matchers.dhpf.checkpoint import read_learner
from matchers.dhpf.extractor import DhpfExtractor
from matchers.dhpf.hough import HoughSpace
from matchers.dhpf.matcher import DhpfMatcher
from matchers.dhpf.network import taken_levels
from matchers.dhpf.objective import (
    OBJECTIVE,
    PUBLISHED,
    SMALL,
    choose_with_gradient,
    keypoint_loss,
    nearest_cell_numbers,
)
from matchers.training.objective import Batch

VECTORS = Path(__file__).parents[1] / "conformance" / "vectors" / "classic" / "dhpf.npz"


@pytest.fixture(scope="module")
def vectors():
    return {name: torch.from_numpy(value) for name, value in np.load(VECTORS).items()}


def part(vectors, prefix):
    return {
        name.removeprefix(prefix): value.clone() for name, value in vectors.items() if name.startswith(prefix)
    }


@pytest.fixture
def files(vectors, tmp_path):
    """The small network's two files: the backbone as torchvision saves it, the learner with its size."""
    backbone, learner = tmp_path / "resnet.pth", tmp_path / "dhpf.safetensors"
    torch.save({**part(vectors, "backbone/"), "fc.weight": torch.ones(5, 64)}, backbone)
    save_checkpoint(learner, part(vectors, "learner/"), {"image_size": 32})
    return {"resnet101": backbone, "dhpf": learner}


def requests_of(pixels):
    """Requests of pictures that are prepared already; their originals are twice as large."""
    picture = PIL.Image.new("RGB", (64, 64))
    return [ImageRequest(picture, str(row), "cat", prepared=one) for row, one in enumerate(pixels)]


def test_files_go_through_the_hooks_to_the_authors_points(vectors, files):
    host = load_plugins()
    recipe = host.methods["dhpf"]
    extractor_spec, matcher_spec = host.extractors[recipe.extractor], host.matchers[recipe.matcher]
    params = {**extractor_spec.params, **matcher_spec.params}
    context = MakeContext(weights=files, params=params)
    assert extractor_spec.fed(files) == (32, 32)
    extractor, matcher = extractor_spec.make(context), matcher_spec.make(context)
    boxes = host.localizers[recipe.localizer].make()
    with torch.inference_mode():
        sources = extractor.extract(requests_of(vectors["in/source"]))
        targets = extractor.extract(requests_of(vectors["in/target"]))
        # The third pair's gates were changed.
        for pair in (0, 1):
            (matches,) = matcher.match([(sources[pair], targets[pair])])
            expected = vectors[f"out/{pair}/corr"]
            volume = matches.volume.reshape(64, 64)
            assert torch.allclose(volume, expected, atol=float(1e-5 * expected.max()), rtol=0)
            located = boxes.read(matches, 2 * vectors["in/source_points"][pair].double())
            assert (located.points / 2 - vectors[f"out/{pair}/target_points"]).abs().max() < 1e-3


def test_a_map_keeps_reduced_levels_and_means_of_its_picture_alone(vectors, files):
    extractor = DhpfExtractor(files["dhpf"], files["resnet101"], "cpu", "fp32")
    with torch.inference_mode():
        maps = extractor.extract(requests_of(vectors["in/source"]))
    for each in maps:
        assert [tuple(level.shape) for level in each.levels] == [
            *[(2, 8, 8), (4, 8, 8), (4, 8, 8), (8, 4, 4), (16, 2, 2), (16, 2, 2), (32, 1, 1)],
            *[(4,), (8,), (8,), (16,), (32,), (32,), (64,)],
        ]
        assert all(level.untyped_storage().nbytes() == level.nbytes for level in each.levels)
        assert torch.equal(each.data, each.levels[6])
    half = DhpfExtractor(files["dhpf"], files["resnet101"], "cpu", "bf16")
    with torch.inference_mode():
        (rounded, *_) = half.extract(requests_of(vectors["in/source"]))
    assert all(level.dtype == torch.float32 for level in rounded.levels)
    largest = maps[0].levels[1].abs().max()
    assert 0 < (rounded.levels[1] - maps[0].levels[1]).abs().max() < 0.05 * largest


def test_levels_depend_on_the_pair_and_the_votes_can_be_left_out(vectors, files):
    extractor = DhpfExtractor(files["dhpf"], files["resnet101"], "cpu", "fp32")
    matcher = DhpfMatcher(files["dhpf"], "cpu", is_voting=True)
    with torch.inference_mode():
        source, *_ = extractor.extract(requests_of(vectors["in/source"]))
        target, *_ = extractor.extract(requests_of(vectors["in/target"]))
        loud, *_ = extractor.extract(requests_of(60 * vectors["in/target"][:1].abs()))
        gates = matcher.open_gates(source, target)
        assert gates.float().tolist() == vectors["out/0/selected"].tolist()
        assert not torch.equal(gates, matcher.open_gates(source, loud))
        voted, again = (matcher.match([(source, target)])[0].volume for _ in range(2))
        (plain,) = DhpfMatcher(files["dhpf"], "cpu", is_voting=False).match([(source, target)])
    assert torch.equal(voted, again)
    assert torch.allclose(plain.volume.reshape(64, 64), vectors["out/0/appearance"], atol=1e-5)
    assert not torch.allclose(plain.volume, voted, rtol=0.1)


def test_the_stem_is_taken_where_no_gate_opens():
    assert taken_levels(torch.tensor([False, True, True])) == [1, 2]
    assert taken_levels(torch.tensor([False, False, False])) == [0]


def test_a_file_of_another_network_is_refused_by_name(vectors, tmp_path):
    learner = part(vectors, "learner/")
    gateless = {name: value for name, value in learner.items() if name != "gumbel_ffns.3.0.weight"}
    cases = [
        (part(vectors, "backbone/"), {}, "all of its 374 tensors are missing"),
        (gateless, {}, "gumbel_ffns.3.0.weight"),
        (learner, {"image_size": "large"}, "its image_size is 'large', not a whole number from 32 to 1024"),
        (learner, {"image_size": 8}, "its image_size is 8"),
    ]
    for number, (tensors, settings, text) in enumerate(cases):
        path = tmp_path / f"{number}.safetensors"
        save_checkpoint(path, tensors, settings)
        with pytest.raises(UserError, match=text) as caught:
            read_learner(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_learner_of_another_backbone_is_refused(vectors, files, tmp_path):
    path = tmp_path / "deeper.pth"
    torch.save(ResNet(4, (8, 16, 32, 64), (2, 1, 3, 1)).state_dict(), path)
    with pytest.raises(UserError, match=r"of 7 levels, 4 to 64 channels wide.*.*deeper\.pth has 8 levels"):
        DhpfExtractor(files["dhpf"], path, "cpu", "fp32")


class Harmful:
    def __reduce__(self):
        return (print, ("run",))


def test_nothing_in_a_pickle_is_run(tmp_path, capsys):
    path = tmp_path / "best_model.pt"
    torch.save({"reduction_ffns.0.0.weight": Harmful()}, path)
    with pytest.raises(UserError, match="nothing in it was run"):
        read_learner(path)
    assert "run" not in capsys.readouterr().out


def test_the_authors_layout_is_read_at_their_size(vectors, tmp_path):
    path = tmp_path / "best_model.pt"
    counters = {f"reduction_ffns.{level}.1.num_batches_tracked": torch.tensor(7) for level in range(7)}
    torch.save({**part(vectors, "learner/"), **counters}, path)
    assert read_learner(path).image_size == 240


@pytest.mark.parametrize(("side", "cells"), [(32, 8), (44, 11), (50, 13)])
def test_votes_are_sums_over_all_pairs_of_cells(side, cells):
    appearance = torch.rand(cells**2, cells**2, generator=torch.Generator().manual_seed(0)).double()
    space = HoughSpace(side, cells, appearance)
    centres = torch.cartesian_prod(torch.arange(cells), torch.arange(cells)) * 4
    bin_side = ((2 * side) * (2 * side) / 8192) ** 0.5
    bins = ((side - centres[:, None] + centres[None]) / bin_side).long()
    numbers = (bins[..., 0] * space.bins + bins[..., 1]).flatten()
    votes = torch.zeros(space.bins**2).double().index_add(0, numbers, appearance.flatten())
    smooth = torch.nn.functional.conv2d(votes.view(1, 1, space.bins, -1), space.kernel[None, None], padding=3)
    expected = smooth.flatten()[numbers].view_as(appearance)
    assert torch.allclose(space.all_scores(appearance), expected)
    weighed = appearance.clone()
    space.weigh(weighed)
    assert torch.allclose(weighed, appearance * expected)


def test_gates_in_training_are_whole_and_have_a_gradient():
    scores = torch.tensor([[[0.0, 2.0], [1.0, 0.0]], [[3.0, 0.0], [1.0, 0.0]]], requires_grad=True)
    gates = choose_with_gradient(scores)
    # No gate of the second row is open: the stem's is taken, and has no part in what is learned.
    assert gates.tolist() == [[1, 0], [1, 0]]
    gates.sum().backward()
    assert (scores.grad[0] != 0).all()
    assert (scores.grad[1, 0] == 0).all()


def test_points_that_are_found_already_weigh_less():
    side, cells = 40, 10
    points = torch.tensor([[8.0, 12.0], [20.0, 20.0]])
    correlation = torch.full((cells**2, cells**2), 0.01)
    # Every cell's best is itself.
    correlation += torch.eye(cells**2)
    assert nearest_cell_numbers(points, cells).tolist() == [32, 55]
    options = {**PUBLISHED.options, "threshold": 0.1}
    settings = PUBLISHED.model_copy(update={"options": options})
    assert keypoint_loss(correlation, points, points, side, settings) == 0
    # Two pixels off: half of the threshold, a quarter of the weight.
    near = keypoint_loss(correlation, points, points + torch.tensor([2.0, 0.0]), side, settings)
    doubled = settings.model_copy(update={"options": {**options, "threshold": 0.05}})
    assert near > 0
    assert keypoint_loss(correlation, points, points + torch.tensor([2.0, 0.0]), side, doubled) == 4 * near


def test_training_lowers_the_loss_and_leaves_the_backbone_alone(vectors, tmp_path):
    settings = SMALL.model_copy(update={"image_size": 32})
    torch.manual_seed(0)
    network = OBJECTIVE.make_network(part(vectors, "backbone/"), settings).train()
    before = {name: value.clone() for name, value in network.backbone.state_dict().items()}
    optimizer = torch.optim.SGD(OBJECTIVE.groups(network).head, 0.03, 0.5)
    generator = torch.Generator().manual_seed(0)
    noise = torch.nn.functional.interpolate(torch.randn(4, 3, 9, 9, generator=generator), (32, 32))
    points = [torch.rand(6, 2, generator=generator) * 24 for _ in range(4)]
    batch = Batch(
        source=noise,
        target=noise.roll((4, 4), (2, 3)),
        source_points=points,
        target_points=[each + 4 for each in points],
        source_mask=None,
        target_mask=None,
        categories=("a",) * 4,
    )
    losses = []
    for _ in range(12):
        # The same noise each time, so that the losses can be compared.
        parts = OBJECTIVE.loss(network, batch, settings, torch.Generator().manual_seed(1))
        optimizer.zero_grad()
        parts["loss"].backward()
        optimizer.step()
        losses.append(float(parts["match"].detach()))
    assert losses[-1] < 0.8 * losses[0]
    assert parts.keys() == {"loss", "match", "selection", "rate"}
    after = network.backbone.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    tensors, scalars = OBJECTIVE.checkpoint(network, settings)
    save_checkpoint(tmp_path / "trained.safetensors", tensors, scalars)
    assert read_learner(tmp_path / "trained.safetensors").image_size == 32
