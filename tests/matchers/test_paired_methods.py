"""CHM and TransforMatcher from files in the authors' layout to points, and their reading."""

from __future__ import annotations

import numpy as np
import PIL.Image
import pytest
import torch

from harness.errors import UserError
from harness.frames import Frame, Size
from harness.plugins.loading import load_plugins
from harness.specs import ImageRequest, Lattice, MakeContext, Matches
from matchers.backbones.checkpoints import save_checkpoint
from matchers.backbones.paired import PairedResNet
from matchers.backbones.resnet import ResNet
from matchers.chm.kernels import KernelShape
from matchers.chm.network import Chm, ChmLearner
from matchers.localizers.neighbours import Neighbours
from matchers.transformatcher.network import MatchToMatch, TransforMatcher

METHODS = ("chm", "transformatcher")
SIDE = 64


def small_network(method, is_shared=False):
    """A network on ResNets of four layers, 4 x 4 cells after layer 3, made from a seed."""
    torch.manual_seed(0)
    source, target = (ResNet(8, (8, 8, 12, 16), (1, 1, 2, 1), bottleneck=False).eval() for _ in range(2))
    backbone = PairedResNet(source, source if is_shared else target)
    if method == "chm":
        return Chm(backbone, ChmLearner(12, 4, KernelShape("psi", 3))).eval()
    return TransforMatcher(backbone, MatchToMatch(3, width=8, depth=2, heads=2, hidden=12)).eval()


def authors_state(method, is_shared=False):
    """A state dict as the authors save it, with the tensors that nothing is computed from."""
    state = small_network(method, is_shared).state_to_save()
    state |= {"backbone.fc.weight": torch.zeros(10, 16), "backbone.fc.bias": torch.zeros(10)}
    if method == "transformatcher":
        state["match2match.posenc"] = torch.zeros(4, 4, 4, 4, 8)
    return state


@pytest.fixture(scope="module")
def host():
    return load_plugins()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Files in safetensors, which say the image's size."""
    folder = tmp_path_factory.mktemp("weights")
    paths = {method: folder / f"{method}.safetensors" for method in METHODS}
    for method, path in paths.items():
        save_checkpoint(path, authors_state(method), {"image_size": SIDE})
    return paths


def noise(seed, size):
    pixels = np.random.RandomState(seed).randint(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return PIL.Image.fromarray(pixels)


PICTURES = [
    ImageRequest(noise(seed, size), str(seed), "cat") for seed, size in enumerate([(90, 60), (50, 70)])
]


def made(host, method, path):
    recipe = host.methods[method]
    extractor, matcher = host.extractors[recipe.extractor], host.matchers[recipe.matcher]
    context = MakeContext(weights={method: path})
    return extractor.make(context), matcher.make(context)


@pytest.mark.parametrize("method", METHODS)
def test_a_recipe_gives_what_the_network_gives(host, method, files):
    assert host.extractors[method].fed({method: files[method]}) == (SIDE, SIDE)
    extractor, matcher = made(host, method, files[method])
    source, target = extractor.extract(PICTURES)
    (matches,) = matcher.match([(source, target)])
    with torch.inference_mode():
        pixels = [extractor.prepare(request.image)[None] for request in PICTURES]
        expected = small_network(method)(*pixels)[0]
        swapped = small_network(method)(*pixels[::-1])[0]
    torch.testing.assert_close(matches.volume, expected, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(matches.volume, swapped, atol=1e-4)
    assert matches.source == Lattice(Frame.stretched(Size(90, 60), Size(SIDE, SIDE)), Size(8, 8), "corner")
    recipe = host.methods[method]
    spec = host.localizers[recipe.localizer]
    localizer = spec.make(**{**spec.options, **recipe.localizer_options[recipe.localizer]})
    located = localizer.read(matches, torch.tensor([[3.0, 50.0], [89.0, 1.0]], dtype=torch.float64))
    assert located.points.isfinite().all()
    assert (located.points >= 0).all()
    assert (located.points <= torch.tensor([50, 70])).all()


@pytest.mark.parametrize("method", METHODS)
def test_the_authors_own_kind_of_file_is_read(host, method, tmp_path):
    path = tmp_path / "best_model.pt"
    torch.save(authors_state(method), path)
    assert host.extractors[method].fed({method: path}) == (240, 240)
    extractor, matcher = made(host, method, path)
    (picture,) = extractor.extract(PICTURES[:1])
    (matches,) = matcher.match([(picture, picture)])
    assert matches.volume.shape == (30, 30, 30, 30)


@pytest.mark.parametrize("method", METHODS)
def test_equal_halves_are_computed_once(host, method, tmp_path, monkeypatch):
    path = tmp_path / "weights.safetensors"
    save_checkpoint(path, authors_state(method, is_shared=True), {"image_size": SIDE})
    calls = []
    forward = ResNet.forward
    monkeypatch.setattr(
        ResNet, "forward", lambda *given, **options: calls.append(0) or forward(*given, **options)
    )
    extractor, matcher = made(host, method, path)
    source, target = extractor.extract(PICTURES)
    assert len(calls) == 1
    (matches,) = matcher.match([(source, target)])
    with torch.inference_mode():
        pixels = [extractor.prepare(request.image)[None] for request in PICTURES]
        expected = small_network(method, is_shared=True)(*pixels)[0]
    torch.testing.assert_close(matches.volume, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_another_networks_file_is_refused_by_name(host, method, tmp_path):
    path = tmp_path / "weights.pt"
    other = METHODS[1 - METHODS.index(method)]
    torch.save(authors_state(other), path)
    for make in (host.extractors[method].make, host.matchers[method].make):
        with pytest.raises(UserError, match=r"weights\.pt: no tensor begins with"):
            make(MakeContext(weights={method: path}))


@pytest.mark.parametrize(
    ("method", "name", "problem"),
    [
        ("chm", "learner.conv2ds.0.weight", "learner.conv2ds.0.weight is missing"),
        ("chm", "learner.conv2ds.2.weight", "conv2ds.2.weight"),
        ("chm", "learner.chm6d.param.3", "no psi or iso kernel"),
        ("chm", "backbone.layer3.1.conv2.weight", "layer3.1.conv2.weight"),
        ("transformatcher", "match2match.trans_nc.0.0.fn.to_r.weight", "to_r.weight is missing"),
        ("transformatcher", "match2match.trans_nc.1.1.fn.2.bias", r"trans_nc.1.1.fn.2.bias"),
        ("transformatcher", "backbone.bn1.bias", "bn1.bias"),
    ],
)
def test_a_missing_tensor_is_named(host, method, name, problem, tmp_path):
    path = tmp_path / "weights.pt"
    state = authors_state(method)
    del state[name]
    torch.save(state, path)
    with pytest.raises(UserError, match=problem) as caught:
        host.extractors[method].make(MakeContext(weights={method: path}))
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_backbone_of_other_blocks_is_refused(host, tmp_path):
    network = small_network("transformatcher")
    network.match2match = MatchToMatch(5, width=8, depth=2, heads=2, hidden=12)
    path = tmp_path / "weights.pt"
    torch.save(network.state_to_save(), path)
    with pytest.raises(UserError, match="3 blocks from layer 3 on, and match2match takes 5"):
        host.extractors["transformatcher"].make(MakeContext(weights={"transformatcher": path}))


class Intruder:
    """An object that a file of weights has no business to bring."""


@pytest.mark.parametrize("method", METHODS)
def test_a_file_with_an_object_is_refused(host, method, tmp_path):
    path = tmp_path / "weights.pt"
    torch.save({"state_dict": authors_state(method), "trainer": Intruder()}, path)
    with pytest.raises(UserError, match="Intruder"):
        host.extractors[method].make(MakeContext(weights={method: path}))


@pytest.mark.parametrize("method", METHODS)
def test_features_of_zeros_give_numbers(method):
    network = small_network(method)
    black = torch.zeros(1, 3, SIDE, SIDE)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.zeros_(module.weight)
            torch.nn.init.zeros_(module.bias)
    with torch.inference_mode():
        assert network(black, black).isfinite().all()


def matches_of(volume, side=29, grid=None):
    height, width, rows, columns = volume.shape
    frame = Frame.unchanged(Size(side, side))
    return Matches(
        Lattice(frame, Size(width, height), grid), Lattice(frame, Size(columns, rows), grid), volume=volume
    )


def moved_volume(cells=30):
    """Every source cell is most like the one to its left."""
    volume = torch.zeros(cells, cells, cells, cells)
    rows, columns = torch.meshgrid(torch.arange(cells), torch.arange(cells), indexing="ij")
    volume[rows, columns, rows, (columns - 1).clamp_min(0)] = 100.0
    return volume


@pytest.mark.parametrize("cells", [30, 12])
def test_points_between_cells_are_blended(cells):
    """On grids of any size a point midway between two cells hears both."""
    side = cells - 1
    matches = matches_of(moved_volume(cells), side)
    points = torch.tensor([[5.0, 7.0], [5.5, 7.0], [5.3, 7.0]], dtype=torch.float64)
    for localizer in (Neighbours(), Neighbours(sigma=17.0, reach=0.1, constant=0.0)):
        located = localizer.read(matches, points)
        expected = points - torch.tensor([1.0, 0.0])
        torch.testing.assert_close(located.points[:2], expected[:2], atol=0.05, rtol=0)
        assert 4.0 < located.points[2, 0] < 4.5
        torch.testing.assert_close(located.score, torch.full((3,), 100.0, dtype=torch.float64))


def test_a_constant_in_the_sum_draws_points_to_the_middle():
    points = torch.tensor([[2.5, 2.5]], dtype=torch.float64)
    drawn, exact = (
        Neighbours(constant=constant).read(matches_of(moved_volume()), points).points
        for constant in (1e-5, 0.0)
    )
    assert (drawn > exact).all()
    assert ((drawn - exact) / (14.5 - exact) < 0.003).all()


def test_beyond_all_cells_the_nearest_one_counts():
    """Neither the image's centre nor no number."""
    outside = torch.tensor([[35.0, 7.0]], dtype=torch.float64)
    for constant in (1e-5, 0.0):
        located = Neighbours(constant=constant).read(matches_of(moved_volume()), outside)
        torch.testing.assert_close(located.points, torch.tensor([[28.0, 7.0]], dtype=torch.float64))


def test_a_volume_that_says_where_its_cells_lie_is_read_there():
    points = torch.tensor([[10.5, 20.5]], dtype=torch.float64)
    located = Neighbours().read(matches_of(moved_volume(), 30, "patch-centre"), points)
    torch.testing.assert_close(located.points, points - torch.tensor([1.0, 0.0]), atol=0.01, rtol=0)


def test_only_a_volume_is_read():
    lattice = Lattice(Frame.unchanged(Size(4, 4)), Size(4, 4))
    with pytest.raises(ValueError, match="flow"):
        Neighbours().read(Matches(lattice, lattice, flow=torch.zeros(2, 4, 4)), torch.zeros(1, 2))


@pytest.mark.parametrize(("sharing", "parameters"), [("psi", 55), ("iso", 15)])
def test_kernels_are_told_from_their_parameters(sharing, parameters):
    shape = KernelShape(sharing, 5)
    assert shape.parameters == parameters
    assert KernelShape.of(parameters, shape.scale_groups) == shape
    # A weight is its parameter over the size of its group, so that each parameter counts once.
    kernel = shape.spatial(torch.arange(1.0, parameters + 1))
    assert kernel.sum() == pytest.approx(parameters * (parameters + 1) / 2)
    # Source and target may be swapped, and mirrored together.
    assert torch.equal(kernel, kernel.permute(2, 3, 0, 1))
    assert torch.equal(kernel, kernel.flip(0, 2))
