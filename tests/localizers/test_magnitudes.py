"""Points do not depend on the magnitude of features; ties, zeros and frames a pixel wide have a rule."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from harness.frames import Frame, Size
from harness.localizers.cosines import cosines
from harness.localizers.on_grid import (
    Argmax,
    ArgmaxPatch,
    Bilinear,
    KernelSoftmax,
    SoftArgmax,
    WindowSoftmax,
)
from harness.localizers.original_resolution import ArgmaxOriginal
from harness.specs import FeatureMap, LocalizerSpec
from harness.specs.lengths import lengths, unit_features

HARD = [Argmax(), ArgmaxPatch(), ArgmaxOriginal(), Bilinear()]
SOFT = [SoftArgmax(), KernelSoftmax(), WindowSoftmax()]
ALL = HARD + SOFT

POINTS = torch.tensor([[12.0, 8.0], [33.3, 21.7], [80.1, 60.9], [0.0, 0.0], [90.0, 70.0]]).double()


def name(localizer):
    return type(localizer).__name__


def random_map(seed, cells=(9, 7), original=(90, 70), channels=16):
    data = torch.randn(channels, cells[1], cells[0], generator=torch.Generator().manual_seed(seed))
    return FeatureMap(data, Frame.stretched(Size(*original), Size(64, 48)))


def scaled(one, factor, dtype=None):
    """A map times a factor, rounded once."""
    return replace(one, data=(one.data.double() * factor).to(dtype or one.data.dtype))


def largest_move(localizer, source, target, expected):
    moves = []
    for located in (localizer(source, target, POINTS), *localizer_of_many(localizer, source, target)):
        assert located.score.isfinite().all()
        moves.append(float((located.points - expected.points).abs().max()))
        assert (located.score - expected.score).abs().max() < 1e-5
    return max(moves)


def localizer_of_many(localizer, source, target):
    return localizer.many([(source, target, POINTS)]) if hasattr(localizer, "many") else []


@pytest.mark.parametrize("localizer", ALL, ids=name)
@pytest.mark.parametrize("power", [-30, -24, -19, -10, -6, 6, 10, 19, 24, 30])
def test_a_power_of_ten_moves_no_point(localizer, power):
    source, target = random_map(1), random_map(2, (8, 11), (60, 110))
    expected = localizer(source, target, POINTS)
    factor = 10.0**power
    limit = 0 if localizer in HARD and not isinstance(localizer, Bilinear) else 1e-3
    for factors in ((factor, factor), (factor, 1), (1, factor), (factor, 1 / factor)):
        maps = scaled(source, factors[0]), scaled(target, factors[1])
        assert largest_move(localizer, *maps, expected) <= limit


@pytest.mark.parametrize("localizer", ALL, ids=name)
@pytest.mark.parametrize(
    ("dtype", "factor", "pixels"),
    [
        (torch.float64, 1e200, 1e-3),
        (torch.float64, 1e-200, 1e-3),
        (torch.float64, 1e-300, 1e-3),
        (torch.bfloat16, 1e30, 0),
        (torch.bfloat16, 1e-30, 0),
        (torch.float16, 1e-3, 0),
        (torch.float16, 1e4, 0),
        # Numbers without leading digit, 1e-39 and below: their steps are a thousandth of the value here.
        (torch.float32, 2.0**-136, 0.5),
    ],
)
def test_every_kind_of_number_gives_the_points_of_its_values(localizer, dtype, factor, pixels):
    source, target = random_map(3), random_map(4, (8, 11), (60, 110))
    maps = [scaled(one, factor, dtype) for one in (source, target)]
    # What was rounded is compared with itself, at an ordinary magnitude.
    ordinary = [
        replace(one, data=(one.data.double() / factor).to(torch.float64 if pixels else torch.float32))
        for one in maps
    ]
    expected = localizer(*ordinary, POINTS)
    assert largest_move(localizer, *maps, expected) <= max(pixels, 1e-3)


@pytest.mark.parametrize("localizer", [one for one in ALL if not isinstance(one, ArgmaxOriginal)], ids=name)
def test_every_cell_may_have_a_magnitude_of_its_own(localizer):
    """A cosine depends on directions alone; queries lie on cells, between which lengths are weights."""
    source, target = random_map(5), random_map(6, (8, 11), (60, 110))
    cells = torch.tensor([[1.0, 1.0], [4.0, 2.0], [7.0, 5.0]]).double()
    grid = "patch-centre" if getattr(localizer, "grid", "") == "patch-centre" else "corner"
    steps = torch.tensor([64 / 9, 48 / 7] if grid == "patch-centre" else [63 / 8, 47 / 6])
    points = source.frame.to_original((cells + (0.5 if grid == "patch-centre" else 0)) * steps)
    powers = torch.arange(8 * 11).view(1, 11, 8) % 61 - 30
    uneven = replace(target, data=target.data * torch.pow(10.0, powers))
    found, expected = localizer(source, uneven, points), localizer(source, target, points)
    assert (found.points - expected.points).abs().max() < 1e-3
    assert (found.score - expected.score).abs().max() < 1e-5


@pytest.mark.parametrize("kind", [Argmax, ArgmaxPatch, Bilinear])
@pytest.mark.parametrize("factor", [1e-30, 1e30])
def test_the_largest_product_is_found_at_any_magnitude(kind, factor):
    localizer = kind(normalize=False)
    source, target = random_map(7), random_map(8)
    found = localizer(scaled(source, factor), scaled(target, factor), POINTS)
    assert (found.points - localizer(source, target, POINTS).points).abs().max() < 1e-3
    ratio = found.score.double() / factor**2 / localizer(source, target, POINTS).score
    assert (ratio - 1).abs().max() < 1e-4


@pytest.mark.parametrize("localizer", [*HARD, SoftArgmax()], ids=name)
@pytest.mark.parametrize("cells", [(1, 1), (5, 3), (24, 24), (37, 19)])
@pytest.mark.parametrize("value", [0.0, 1.0, -3.7e-7, 2.5e25])
def test_of_equal_cells_the_first_is_found(localizer, cells, value):
    """The first in rows from the top left; the mean over the map is its middle."""
    constant = replace(random_map(0, cells), data=torch.full((96, cells[1], cells[0]), value))
    found = localizer(random_map(9, channels=96), constant, POINTS).points
    assert (found == found[:1]).all()
    first = {"ArgmaxOriginal": (0, 0), "ArgmaxPatch": (45 / cells[0], 35 / cells[1])}
    if localizer in HARD:
        assert found[0].tolist() == pytest.approx(first.get(name(localizer), (0, 0)), abs=1e-9)
    else:
        middle = (45 * 63 / 64, 35 * 47 / 48)
        middle = [side if count > 1 else 0 for side, count in zip(middle, cells, strict=True)]
        assert found[0].tolist() == pytest.approx(middle, abs=1e-3)


@pytest.mark.parametrize("localizer", HARD, ids=name)
def test_two_cells_alike_are_a_tie_that_the_upper_left_one_wins(localizer):
    source, target = random_map(10, channels=64), random_map(11, channels=64)
    data = target.data.clone()
    for row, column in ((5, 2), (2, 6), (2, 7)):
        data[:, row, column] = source.data[:, 3, 4]
    grid = "patch-centre"
    maps = [replace(source, grid=grid), replace(target, data=data, grid=grid)]
    found = localizer(*maps, torch.tensor([[45.0, 35.0]]).double())
    cell = (found.points / 10).floor()[0].tolist()
    assert cell == [6, 2]


def test_a_query_of_zeros_finds_the_first_cell():
    empty = replace(random_map(0), data=torch.zeros(16, 7, 9))
    for localizer in (Argmax(), ArgmaxOriginal()):
        found = localizer(empty, random_map(1), POINTS)
        assert found.points.abs().max() == 0
        assert found.score.abs().max() == 0


@pytest.mark.parametrize("localizer", ALL, ids=name)
@pytest.mark.parametrize("fed", [(1, 48), (64, 1), (1, 1)])
def test_a_frame_one_pixel_wide_is_read(localizer, fed):
    maps = [
        FeatureMap(random_map(seed).data, Frame.stretched(Size(90, 70), Size(*fed)), "corner")
        for seed in (12, 13)
    ]
    for located in (localizer(*maps, POINTS), *localizer_of_many(localizer, *maps)):
        assert located.points.isfinite().all()
        assert (located.points >= 0).all()
        assert (located.points <= torch.tensor([90.0, 70.0])).all()


@pytest.mark.parametrize("factor", [1e-200, 1e-30, 1e30, 1e200])
def test_cosines_of_a_picture_do_not_depend_on_the_magnitude(factor):
    source, target = random_map(14), random_map(15)
    for reads in ("cell", "pixel", "patch"):
        spec = LocalizerSpec(name="mine", make=Argmax, reads=reads)
        expected = cosines(source, target, POINTS, POINTS.flip(0), spec)
        maps = [scaled(one, factor, torch.float64) for one in (source, target)]
        torch.testing.assert_close(cosines(*maps, POINTS, POINTS.flip(0), spec), expected, atol=1e-6, rtol=0)


def test_a_patch_is_read_as_a_whole():
    """All points of a patch have its feature, up to the edges, and points beyond the map that of the last."""
    source, target = random_map(16), random_map(17)
    localizer = ArgmaxPatch()
    inside = torch.tensor([[40.0, 30.0], [49.9, 30.1], [44.0, 39.9]]).double()
    found = localizer(source, target, inside).points
    assert (found == found[0]).all()
    centres = (found / 10 - 0.5).abs()
    assert (centres - centres.round()).abs().max() < 1e-9
    edge = localizer(source, target, torch.tensor([[90.0, 70.0], [85.0, 65.0]]).double()).points
    assert (edge[0] == edge[1]).all()
    query = source.data[:, 3, 4]
    best = torch.einsum("c,chw->hw", query, target.data) / target.data.norm(dim=0)
    row, column = divmod(int(best.argmax()), 9)
    assert found[0].tolist() == pytest.approx([column * 10 + 5, row * 10 + 5])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_lengths_of_any_magnitude(dtype):
    features = torch.randn(6, 5, generator=torch.Generator().manual_seed(0)).to(dtype)
    largest = 1e37 if dtype == torch.float32 else 1e300
    factors = torch.tensor([0, 1e-30, 1, 1e10, 1e30, largest], dtype=dtype)[:, None]
    norms = lengths(features * factors, 1)
    torch.testing.assert_close(norms, features.norm(dim=1) * factors[:, 0])
    units = unit_features(features * factors, 1)
    assert units[0].abs().max() == 0
    torch.testing.assert_close(units[1:], torch.nn.functional.normalize(features[1:], dim=1))
    assert lengths(features[:0], 1).shape == (0,)
