"""The bound by which `argmax-original` leaves out pixels: its pixel is that of the whole map, always."""

from __future__ import annotations

import pytest
import torch

from harness.frames import Frame, Size
from harness.localizers import highest_pixel, original_resolution
from harness.localizers.highest_pixel import Tiles
from harness.localizers.original_resolution import ArgmaxOriginal
from harness.specs import FeatureMap

POINTS = 7


@pytest.fixture(autouse=True)
def of_small_images(monkeypatch):
    """Bounds for images of any size, since small ones are quick."""
    monkeypatch.setattr(original_resolution, "LEAST_PIXELS", 1)


@pytest.fixture
def answers(monkeypatch):
    """What the bounds have answered, in order; None where they left it to the whole map."""
    given = []
    highest = Tiles.highest

    def record(self, products):
        given.append(highest(self, products))
        return given[-1]

    monkeypatch.setattr(Tiles, "highest", record)
    return given


def noise(generator, shape):
    return torch.randn(shape, generator=generator)


def smooth(generator, shape):
    """Features that change slowly, as networks' do."""
    channels, height, width = shape
    coarse = torch.randn((1, channels, -(-height // 3), -(-width // 3)), generator=generator)
    return torch.nn.functional.interpolate(coarse, size=(height, width), mode="bilinear")[0]


def positive(generator, shape):
    """Features behind a ReLU: some of length zero, all products at least zero."""
    return torch.randn(shape, generator=generator).sub(1.5).clamp_min(0)


def in_stripes(generator, shape):
    """Equal cells below each other: many pixels are equal but for rounding."""
    return torch.randn((shape[0], 1, shape[2]), generator=generator).expand(shape).contiguous()


def of_few_values(generator, shape):
    """Whole numbers: products and norms tie exactly."""
    return torch.randint(-1, 2, shape, generator=generator).float()


def one_feature(generator, shape):
    """The same feature with another length in each cell: cosines are 1 or -1 everywhere."""
    return torch.randn((shape[0], 1, 1), generator=generator) * torch.randn(shape[1:], generator=generator)


KINDS = (noise, smooth, positive, in_stripes, of_few_values, one_feature)

SIZES = (Size(61, 44), Size(30, 97), Size(5, 4), Size(1, 40))


def frames(size):
    """Frames of an image that fill its cells in other ways."""
    yield Frame.stretched(size, Size(64, 64))
    yield Frame.padded(size, 64)


def locate(source, target, points, whole=False):
    localizer = ArgmaxOriginal()
    if whole:
        target = FeatureMap(target.data, target.frame)
        object.__setattr__(localizer._of(target), "tiles", None)
    return localizer(source, target, points)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_the_pixel_is_that_of_the_whole_map(monkeypatch, kind, size):
    # However many pixels the bounds leave.
    monkeypatch.setattr(highest_pixel, "EFFORT", 0)
    generator = torch.Generator().manual_seed(0)
    for height, width in ((4, 5), (7, 6), (1, 3), (1, 1), (16, 16)):
        for frame in frames(size):
            source, target = (FeatureMap(kind(generator, (6, height, width)), frame) for _ in range(2))
            points = torch.rand((POINTS, 2), generator=generator).double() * torch.tensor(size)
            found, whole = locate(source, target, points), locate(source, target, points, whole=True)
            assert torch.equal(found.points, whole.points)
            torch.testing.assert_close(found.score, whole.score, rtol=1e-4, atol=1e-5)


def test_a_point_that_nothing_is_like_is_left_to_the_whole_map(monkeypatch, answers):
    """Where every cosine is below zero, the greatest norm bounds it and not the least."""
    monkeypatch.setattr(highest_pixel, "EFFORT", 0)
    generator = torch.Generator().manual_seed(1)
    data = torch.rand((8, 4, 4), generator=generator) + 0.1
    source = FeatureMap(data, Frame.stretched(Size(40, 30), Size(64, 64)))
    target = FeatureMap(-data, source.frame)
    points = torch.rand((POINTS, 2), generator=generator).double() * 30
    found, whole = locate(source, target, points), locate(source, target, points, whole=True)
    assert answers[0] is None
    assert torch.equal(found.points, whole.points)
    assert bool((found.score < 0).all())


def test_a_map_of_one_row_has_bounds_too(answers):
    generator = torch.Generator().manual_seed(6)
    source, target = (
        FeatureMap(noise(generator, (8, 1, 12)), Frame.stretched(Size(240, 60), Size(64, 64))) for _ in "st"
    )
    points = torch.rand((POINTS, 2), generator=generator).double() * 60
    found, whole = locate(source, target, points), locate(source, target, points, whole=True)
    assert answers[0] is not None
    assert torch.equal(found.points, whole.points)


def test_most_pixels_are_left_out(monkeypatch, answers):
    looked_at = []
    evaluate = Tiles._evaluate

    def count(self, products, point, tile):
        looked_at.append(len(tile) * self.norms[0].numel())
        return evaluate(self, products, point, tile)

    monkeypatch.setattr(Tiles, "_evaluate", count)
    generator = torch.Generator().manual_seed(2)
    size = Size(300, 200)
    maps = [FeatureMap(noise(generator, (16, 12, 12)), Frame.stretched(size, Size(64, 64))) for _ in "st"]
    points = torch.rand((POINTS, 2), generator=generator).double() * torch.tensor(size)
    locate(*maps, points)
    assert answers[0] is not None
    assert 0 < sum(looked_at) < 0.125 * POINTS * size.width * size.height


def test_two_pixels_that_rounding_puts_in_order_are_left_to_the_whole_map(answers):
    size = Size(40, 40)
    data = torch.zeros(2, 4, 4)
    data[0] = 1
    # Two cells alike, far from each other, but for a difference below single precision's.
    data[1, 0, 0], data[1, 3, 3] = 3.0, 3.0 * (1 + 1e-7)
    target = FeatureMap(data, Frame.stretched(size, Size(64, 64)))
    source = FeatureMap(torch.tensor([1.0, 3.0])[:, None, None].expand(2, 4, 4), target.frame)
    points = torch.tensor([[20.0, 20.0]], dtype=torch.float64)
    found, whole = locate(source, target, points), locate(source, target, points, whole=True)
    assert answers[0] is None
    assert torch.equal(found.points, whole.points)


def test_maps_of_numbers_that_are_none_are_left_to_the_whole_map(answers):
    size = Size(40, 40)
    data = torch.rand((3, 4, 4), generator=torch.Generator().manual_seed(3))
    frame = Frame.stretched(size, Size(64, 64))
    tiles = ArgmaxOriginal()._of(FeatureMap(data, frame)).tiles
    assert tiles.highest(torch.full((1, 4, 4), torch.nan)) is None
    assert tiles.highest(torch.full((1, 4, 4), torch.inf)) is None


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_precisions_round_otherwise_and_look_at_all_pixels(answers, dtype):
    generator = torch.Generator().manual_seed(4)
    frame = Frame.stretched(Size(40, 30), Size(64, 64))
    source, target = (FeatureMap(noise(generator, (4, 4, 4)).to(dtype), frame) for _ in range(2))
    points = torch.rand((POINTS, 2), generator=generator).double() * 30
    found, whole = locate(source, target, points), locate(source, target, points, whole=True)
    assert torch.equal(found.points, whole.points)
    if dtype == torch.float64:
        assert not answers


def test_small_images_are_looked_at_as_a_whole(monkeypatch, answers):
    monkeypatch.setattr(original_resolution, "LEAST_PIXELS", highest_pixel.LEAST_PIXELS)
    generator = torch.Generator().manual_seed(5)
    for size, is_bounded in ((Size(200, 200), False), (Size(300, 220), True)):
        answers.clear()
        frame = Frame.stretched(size, Size(64, 64))
        source, target = (FeatureMap(noise(generator, (4, 4, 4)), frame) for _ in range(2))
        locate(source, target, torch.zeros((1, 2), dtype=torch.float64))
        assert bool(answers) == is_bounded
