"""Localizers equal the plain computation, batched, differentiable, right on an image matched with itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import UserError
from harness.frames import Frame, GridConvention, PatchGrid, Size, cells_to_pixels
from harness.localizers.on_grid import Argmax, Bilinear, KernelSoftmax, SoftArgmax, WindowSoftmax
from harness.localizers.original_resolution import ArgmaxOriginal
from harness.specs import FeatureMap, LocalizerSpec

ALL = [Argmax(), ArgmaxOriginal(), Bilinear(), SoftArgmax(), KernelSoftmax(), WindowSoftmax()]

SOFT = [
    SoftArgmax(),
    KernelSoftmax(),
    KernelSoftmax(relative_to=60),
    WindowSoftmax(),
    WindowSoftmax(window=5),
]

GRIDS: tuple[GridConvention | None, ...] = (None, "corner", "half-pixel", "patch-centre")


def name(localizer):
    return type(localizer).__name__


def random_map(seed, cells, original, fed=(64, 48), channels=8, grid=None):
    data = torch.randn(channels, cells[1], cells[0], generator=torch.Generator().manual_seed(seed))
    return FeatureMap(data, Frame.stretched(Size(*original), Size(*fed)), grid)


def random_points(seed, count, original):
    return torch.from_numpy(np.random.default_rng(seed).uniform(0, 1, (count, 2)) * np.array(original))


def two_maps(seed, **options):
    """Maps of two images of different sizes and grids, and seven points of the first."""
    source = random_map(seed, (9, 7), (90, 70), **options)
    target = random_map(seed + 1, (8, 11), (60, 110), **options)
    return source, target, random_points(seed, 7, (90, 70))


def upsampled(one):
    """(C, H, W) in double precision and at the image's size, as DIFT does it."""
    size = (one.frame.original.height, one.frame.original.width)
    return torch.nn.functional.interpolate(
        one.data[None].double(), size=size, mode="bilinear", align_corners=False
    )[0]


def check_against_upsampling(source, target, points):
    found = ArgmaxOriginal()(source, target, points)
    x, y = points.floor().long().unbind(1)
    queries = torch.nn.functional.normalize(upsampled(source)[:, y, x].T, dim=1)
    cosines = torch.einsum("nc,chw->nhw", queries, torch.nn.functional.normalize(upsampled(target), dim=0))
    best = cosines.flatten(1).max(dim=1).values
    columns, rows = found.points.long().unbind(1)
    there = cosines[torch.arange(len(points)), rows, columns]
    assert (found.points == found.points.floor()).all()
    # Single precision tells pixels apart by about 1e-6.
    assert (best - there).max() < 5e-6
    assert (found.score - best).abs().max() < 5e-6


sides = st.integers(1, 60)

cells = st.tuples(st.integers(1, 12), st.integers(1, 12))


@settings(max_examples=40)
@given(st.integers(0, 2**20), cells, cells, st.tuples(sides, sides), st.tuples(sides, sides))
def test_argmax_original_is_the_best_pixel_of_the_upsampled_maps(
    seed, source_cells, target_cells, source_size, target_size
):
    source = random_map(seed, source_cells, source_size)
    target = random_map(seed + 1, target_cells, target_size)
    check_against_upsampling(source, target, random_points(seed, 5, source_size))


def test_argmax_original_in_small_pieces_is_the_same(monkeypatch):
    source, target, points = two_maps(3)
    whole = ArgmaxOriginal()(source, target, points)
    monkeypatch.setattr("harness.localizers.original_resolution.MAX_SIMILARITIES", 1)
    pieces = ArgmaxOriginal()(source, target, points)
    assert (whole.points == pieces.points).all()
    assert (whole.score - pieces.score).abs().max() < 1e-6


def test_argmax_original_of_a_map_used_before_is_the_same():
    """What is kept of a map belongs to that map alone."""
    localizer = ArgmaxOriginal()
    source, target, points = two_maps(5)
    other = random_map(77, (8, 11), (60, 110))
    first, between, again = (localizer(source, one, points) for one in (target, other, target))
    assert (first.points == again.points).all()
    assert (between.points == ArgmaxOriginal()(source, other, points).points).all()
    assert (first.points != between.points).any()


@pytest.mark.parametrize("localizer", ALL, ids=name)
@pytest.mark.parametrize("grid", GRIDS)
def test_points_together_are_points_one_by_one(localizer, grid):
    source, target, points = two_maps(11, grid=grid)
    together = localizer(source, target, points)
    for number in range(len(points)):
        alone = localizer(source, target, points[number : number + 1])
        assert (alone.points[0] - together.points[number]).abs().max() < 0.01
        assert (alone.score[0] - together.score[number]).abs() < 1e-5


@pytest.mark.parametrize("localizer", ALL, ids=name)
def test_no_points_give_no_predictions(localizer):
    source, target, points = two_maps(12)
    found = localizer(source, target, points[:0])
    assert found.points.shape == (0, 2)


@pytest.mark.parametrize("localizer", ALL, ids=name)
def test_predictions_and_scores_have_their_shape_and_stay_in_the_image(localizer):
    source, target, points = two_maps(13)
    found = localizer(source, target, points)
    assert found.points.shape == points.shape
    assert found.points.dtype == torch.float64
    assert found.score.shape == points.shape[:1]
    assert ((found.points >= -0.5) & (found.points <= torch.tensor(target.frame.original) + 0.5)).all()
    assert (found.score.abs() <= 1 + 1e-5).all()


@pytest.mark.parametrize("localizer", ALL, ids=name)
@pytest.mark.parametrize("grid", GRIDS)
def test_an_image_matched_with_itself_gives_its_own_points(localizer, grid):
    """Where points lie on the cells, so that the query is one of the features that are searched."""
    image = random_map(21, (14, 10), (140, 80), fed=(112, 60), channels=64, grid=grid)
    default = (
        "half-pixel"
        if isinstance(localizer, ArgmaxOriginal)
        else "patch-centre"
        if isinstance(localizer, WindowSoftmax)
        else "corner"
    )
    where = torch.cartesian_prod(torch.arange(2, 12, 3), torch.arange(2, 8, 2)).double()
    points = image.frame.to_original(cells_to_pixels(where, image.frame.size, image.cells, grid or default))
    errors = (localizer(image, image, points).points - points).abs() / torch.tensor([10.0, 8.0])
    # A pixel is a tenth of a cell here. A soft prediction leans towards the middle of the map.
    limit = {"Argmax": 1e-6, "Bilinear": 2e-4, "ArgmaxOriginal": 0.15}.get(name(localizer), 0.5)
    assert errors.max() < limit


@pytest.mark.parametrize("localizer", ALL, ids=name)
def test_anywhere_on_an_image_matched_with_itself_is_found_within_a_cell(localizer):
    smooth = torch.nn.functional.interpolate(
        torch.randn(1, 96, 5, 6, generator=torch.Generator().manual_seed(2)),
        size=(20, 24),
        mode="bicubic",
        align_corners=True,
    )[0]
    image = FeatureMap(smooth, Frame.stretched(Size(240, 200), Size(96, 80)))
    points = random_points(4, 40, (180, 150)) + 30
    errors = (localizer(image, image, points).points - points).abs() / 10
    if isinstance(localizer, SoftArgmax):
        # The mean over the whole map: neighbours that are alike draw it, by more than a cell.
        assert errors.median() < 1
    else:
        assert errors.max() <= 1


@pytest.mark.parametrize("localizer", [one for one in ALL if not isinstance(one, ArgmaxOriginal)], ids=name)
def test_what_the_frame_does_is_undone(localizer):
    """Both images padded instead of stretched: predictions move with the content."""
    data = torch.randn(16, 12, 12, generator=torch.Generator().manual_seed(8))
    original = Size(100, 50)
    plain, padded = Frame.unchanged(Size(100, 100)), Frame.padded(original, 100)
    points = torch.tensor([[20.0, 10.0], [71.0, 33.0]], dtype=torch.float64)
    shift = torch.tensor([0.0, 25.0])
    inside = localizer(FeatureMap(data, padded), FeatureMap(data, padded), points).points
    outside = localizer(FeatureMap(data, plain), FeatureMap(data, plain), points + shift).points
    assert (inside + shift - outside).abs().max() < 1e-6


def test_argmax_original_finds_no_pixel_in_the_padding():
    """A padded map whose padding looks most like the query: the prediction still is a pixel of the image."""
    data = torch.zeros(2, 10, 10)
    data[0] = 1
    data[1, 4:6] = torch.linspace(0.5, 1, 20).view(2, 10)
    frame = Frame.padded(Size(100, 20), 100)
    source = FeatureMap(torch.stack([torch.ones(10, 10), torch.zeros(10, 10)]), frame, "patch-centre")
    found = ArgmaxOriginal()(
        source, FeatureMap(data, frame, "patch-centre"), torch.tensor([[50.0, 10.0]]).double()
    )
    assert ((found.points >= 0) & (found.points < torch.tensor([100, 20]))).all()


@pytest.mark.parametrize("localizer", ALL, ids=name)
def test_half_precision_maps_are_computed_with_in_single(localizer):
    source, target, points = two_maps(15)
    for dtype in (torch.float16, torch.bfloat16):
        low = [replace(one, data=one.data.to(dtype)) for one in (source, target)]
        high = [replace(one, data=one.data.to(dtype).float()) for one in (source, target)]
        assert (localizer(*low, points).points == localizer(*high, points).points).all()


@pytest.mark.parametrize("localizer", ALL, ids=name)
def test_longer_features_change_nothing_but_the_rounding(localizer):
    """Cosines do not depend on a feature's length."""
    source, target, points = two_maps(16)
    scaled = [replace(one, data=one.data * 50) for one in (source, target)]
    assert (localizer(source, target, points).points - localizer(*scaled, points).points).abs().max() < 0.01


@pytest.mark.parametrize("kind", [Argmax, Bilinear, SoftArgmax, KernelSoftmax])
def test_without_normalisation_length_counts(kind):
    source, target, _ = two_maps(17, channels=24)
    on_cells = cells_to_pixels(
        torch.cartesian_prod(torch.arange(1, 8), torch.arange(1, 6)).double(),
        source.frame.size,
        source.cells,
        "corner",
    )
    points = source.frame.to_original(on_cells)
    loud = target.data.clone()
    loud[:, 3, 5] *= 1000
    target = replace(target, data=loud)
    there = target.frame.to_original(
        cells_to_pixels(torch.tensor([[5.0, 3.0]]).double(), target.frame.size, target.cells, "corner")
    )

    def found_there(normalize):
        return (kind(normalize=normalize)(source, target, points).points - there).abs().max(
            dim=1
        ).values < 0.01

    # About half of the queries have a positive product with the loud feature.
    assert 0.2 < found_there(normalize=False).double().mean() < 0.8
    assert found_there(normalize=True).double().mean() < 0.2


MANY = [Argmax(), SoftArgmax(), KernelSoftmax(relative_to=48), WindowSoftmax()]


def tasks(counts: tuple[int, ...] = (5, 1, 70, 9, 0, 3)) -> list[tuple[FeatureMap, FeatureMap, torch.Tensor]]:
    """Pairs of two grids, with few points and with more than pass at once."""
    grids = [(8, 11) if number % 3 else (12, 9) for number in range(len(counts))]
    maps = [
        (random_map(10 + number, grid, (60, 110)), random_map(50 + number, grid, (90, 70)))
        for number, grid in enumerate(grids)
    ]
    return [
        (source, target, random_points(number, count, (60, 110)))
        for number, (count, (source, target)) in enumerate(zip(counts, maps, strict=True))
    ]


@pytest.mark.parametrize("localizer", MANY, ids=name)
def test_many_pairs_at_once_are_those_pairs(localizer):
    found = localizer.many(tasks())
    assert [len(one.points) for one in found] == [5, 1, 70, 9, 0, 3]
    for task, one in zip(tasks(), found, strict=True):
        alone = localizer(*task)
        torch.testing.assert_close(one.points, alone.points, rtol=0, atol=1e-3)
        torch.testing.assert_close(one.score, alone.score, rtol=0, atol=1e-6)


@pytest.mark.parametrize("localizer", MANY, ids=name)
def test_a_pair_among_many_has_the_bytes_it_has_alone(localizer):
    every = tasks()
    together, backwards = localizer.many(every), localizer.many(every[::-1])[::-1]
    for task, one, other in zip(every, together, backwards, strict=True):
        (alone,) = localizer.many([task])
        for found in (one, other):
            assert torch.equal(found.points, alone.points)
            assert torch.equal(found.score, alone.score)


def test_no_pairs_at_all():
    assert KernelSoftmax().many([]) == []


@pytest.mark.parametrize("localizer", SOFT, ids=repr)
def test_gradients_reach_both_maps(localizer):
    source, target, points = two_maps(31)
    leaves = [one.data.clone().requires_grad_() for one in (source, target)]
    maps = [replace(one, data=leaf) for one, leaf in zip((source, target), leaves, strict=True)]
    localizer(*maps, points).points.sum().backward()
    for leaf in leaves:
        assert torch.isfinite(leaf.grad).all()
        assert leaf.grad.abs().max() > 1e-6


@pytest.mark.parametrize("localizer", SOFT, ids=repr)
def test_gradients_are_those_of_finite_differences(localizer):
    source = random_map(41, (3, 2), (40, 30), channels=2)
    target = random_map(42, (3, 3), (30, 40), channels=2)
    source, target = (replace(one, data=one.data.double()) for one in (source, target))
    points = random_points(4, 2, (40, 30))

    def predicted(a, b):
        return localizer(replace(source, data=a), replace(target, data=b), points).points

    leaves = [one.data.clone().requires_grad_() for one in (source, target)]
    assert torch.autograd.gradcheck(predicted, leaves, eps=1e-7, atol=1e-3, rtol=1e-3)


def test_bilinear_is_differentiable_in_its_score():
    source, target, points = two_maps(33)
    leaf = source.data.clone().requires_grad_()
    Bilinear()(replace(source, data=leaf), target, points).score.sum().backward()
    assert leaf.grad.abs().max() > 0


def test_temperature_zero_in_the_limit_is_argmax():
    source, target, points = two_maps(34)
    assert (
        SoftArgmax(temperature=1e-6)(source, target, points).points - Argmax()(source, target, points).points
    ).abs().max() < 1e-6


def test_kernel_and_window_as_wide_as_the_map_are_soft_argmax():
    source, target, points = two_maps(35, grid="corner")
    plain = SoftArgmax(temperature=0.02)
    on_cells = cells_to_pixels(
        torch.cartesian_prod(torch.arange(9), torch.arange(7)).double(),
        source.frame.size,
        source.cells,
        "corner",
    )
    points = source.frame.to_original(on_cells)
    expected = plain(source, target, points).points
    assert (
        KernelSoftmax(sigma=1e6, temperature=0.02)(source, target, points).points - expected
    ).abs().max() < 1e-3
    assert (WindowSoftmax(window=99)(source, target, points).points - expected).abs().max() < 1e-3


def test_a_kernel_relative_to_a_grid_scales_with_the_map():
    source, target, points = two_maps(36)
    scaled = KernelSoftmax(sigma=6.0, relative_to=22)(source, target, points)
    assert (scaled.points == KernelSoftmax(sigma=3.0)(source, target, points).points).all()


def test_overlapping_patches_are_laid_where_they_are():
    """Matched with itself, a map of overlapping patches gives back the centres of its patches."""
    image = FeatureMap(
        torch.randn(32, 6, 7, generator=torch.Generator().manual_seed(9)),
        Frame.unchanged(Size(32, 28)),
        PatchGrid(patch=8, stride=4),
    )
    cells = torch.cartesian_prod(torch.arange(7), torch.arange(6)).double()
    centres = cells * 4 + 4
    for localizer in (Argmax(), WindowSoftmax(window=0, temperature=1e-3)):
        assert (localizer(image, image, centres).points - centres).abs().max() < 1e-6


@pytest.mark.parametrize("wrong", [{"grid": "patch-center"}, {"reads": "pixels"}])
def test_a_grid_or_reading_that_does_not_exist_is_refused(wrong):
    with pytest.raises(UserError, match="unknown"):
        LocalizerSpec(name="mine", make=object, **wrong)
    for grid in ("corner", "half-pixel", "patch-centre", PatchGrid(14, 7)):
        assert LocalizerSpec(name="mine", make=object, grid=grid).grid == grid
