"""Pictures of matches: their geometry, texts and colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from harness.drawing.colours import OKABE_ITO, position_colours, viridis
from harness.frames import Size
from harness.matching import picture as matching_picture
from harness.matching.match import Match
from harness.matching.picture import Heat, panel_size, picture

SIZES = Size(90, 60), Size(64, 80)

GREEN, BLUE = (10, 250, 10), (10, 10, 250)


def plain(points, found, sizes=SIZES) -> tuple[list[PIL.Image.Image], Match]:
    """Two plain pictures and a match between them."""
    similarity = np.linspace(-0.5, 0.875, len(points))
    images = [PIL.Image.new("RGB", size, colour) for size, colour in zip(sizes, (GREEN, BLUE), strict=True)]
    arrays = (np.array(values, dtype=float) for values in (points, found))
    return images, Match(
        Path("a.png"), Path("b.png"), *sizes, *arrays, similarity, similarity, "hog", "none", "argmax", "none"
    )


def panel(made, colour) -> tuple[int, int, int, int]:
    """left, top, right, bottom of a plain picture within the drawn one."""
    ys, xs = np.nonzero((np.abs(np.asarray(made).astype(int) - colour) <= 2).all(axis=2))
    return xs.min(), ys.min(), xs.max() + 1, ys.max() + 1


def at(made, box, place, size) -> tuple[int, int, int]:
    """Colour of the drawn picture at original pixels of the picture in `box`."""
    left, top, right, bottom = box
    x, y = left + place[0] / size.width * (right - left), top + place[1] / size.height * (bottom - top)
    return made.getpixel((round(x), round(y)))


@pytest.mark.parametrize(
    "sizes", [SIZES, (Size(4000, 900), Size(30, 40)), (Size(300, 2000), Size(2000, 700))]
)
def test_discs_lie_on_the_points_and_aspects_are_kept(sizes):
    shares, found = [(0.2, 0.3), (0.7, 0.8), (0.5, 0.45)], [(0.9, 0.5), (0.1, 0.25), (0.4, 0.75)]
    images, one = plain(np.multiply(shares, sizes[0]), np.multiply(found, sizes[1]), sizes)
    made = picture(images, one)
    for places, size, colour in zip((one.points, one.found), sizes, (GREEN, BLUE), strict=True):
        box = panel(made, colour)
        assert (box[2] - box[0], box[3] - box[1]) == pytest.approx(tuple(panel_size(size)), abs=2)
        for number, place in enumerate(places):
            assert at(made, box, place, size) == pytest.approx(tuple(OKABE_ITO[number].tolist()), abs=3)


def test_a_grid_has_the_colours_of_its_places_in_a_in_both_pictures(monkeypatch):
    monkeypatch.setattr(matching_picture, "_fade", lambda image: image)
    grid = [(x, y) for y in (15, 45) for x in (15, 45, 75)]
    found = [(8 + 9 * number, 70 - 10 * number) for number in range(len(grid))]
    images, one = plain(grid, found)
    _, points = plain([(1, 1)], [(1, 1)])
    made = picture(images, None, dense=one)
    for places, size, colour in zip((one.points, one.found), SIZES, (GREEN, BLUE), strict=True):
        for place, wanted in zip(places, position_colours(one.points / SIZES[0]).tolist(), strict=True):
            assert at(made, panel(made, colour), place, size) == pytest.approx(tuple(wanted), abs=3)
    assert picture(images, points, dense=one).height > made.height


def test_a_heat_map_shows_where_b_is_similar_with_a_scale():
    images, one = plain([(20, 20)], [(16, 60)])
    size = panel_size(SIZES[1])
    values = np.full((size.height, size.width), -0.25)
    values[: size.height // 2, size.width // 2 :] = 0.75
    made = picture(images, one, heat=Heat(values, Size(8, 8)))
    pixels = np.asarray(made)[:, 2 * (matching_picture.PANEL + 24) :]
    high, low = (
        (np.abs(pixels.astype(int) - colour) <= 2).all(axis=2)
        for colour in (viridis(np.array(1.0)), viridis(np.array(0.0)))
    )
    (rows, columns), (all_rows, all_columns) = np.nonzero(high), np.nonzero(low | high)
    assert columns.min() == pytest.approx((all_columns.min() + all_columns.max()) / 2, abs=4)
    assert rows.max() == pytest.approx((all_rows.min() + all_rows.max()) / 2, abs=4)
    flat = picture(images, one, heat=Heat(np.zeros_like(values), Size(8, 8)))
    assert flat.size == made.size


def test_a_heat_map_has_the_outlines_of_b_and_else_its_own_colours():
    images, one = plain([(20, 20)], [(16, 60)])
    halves = images[1].copy()
    halves.paste((255, 255, 255), (0, 0, halves.width // 2, halves.height))
    size = panel_size(SIZES[1])
    heat = Heat(np.full((size.height, size.width), -0.25), Size(8, 8))
    made = [np.asarray(picture((images[0], b), one, heat=heat)).astype(int) for b in (images[1], halves)]
    left = 2 * (matching_picture.PANEL + 24)
    # The halves differ beside the map, too: in B itself, left of it.
    changed = np.abs(made[0] - made[1])[:, left:].max(axis=2) > 0
    columns = np.nonzero(changed.any(axis=0))[0]
    assert 0 < len(columns) < size.width / 8
    assert changed[:, columns.mean().astype(int)].sum() > size.height / 2


@pytest.fixture
def texts(monkeypatch) -> list[str]:
    """Everything written into pictures."""
    written: list[str] = []
    original = matching_picture.Paper._write

    def write(self, left, top, text, *rest):
        written.append(text)
        original(self, left, top, text, *rest)

    monkeypatch.setattr(matching_picture.Paper, "_write", write)
    return written


def test_pictures_say_n_and_units(texts):
    images, one = plain([(20, 20), (30, 30)], [(16, 60), (1, 2)])
    picture(images, one, dense=one, heat=Heat(np.linspace(-0.25, 0.75, 12).reshape(3, 4), Size(8, 9)))
    told = " ".join(texts)
    for words in (
        "hog, localizer argmax, backbone none",
        "A: a.png, 90 x 60 px",
        "B: b.png, 64 x 80 px",
        "n = 2 points; (x, y) in pixels of A and of B",
        "1: (20.0, 20.0) to (16.0, 60.0), similarity -0.50",
        "n = 1 point of A, 8 x 9 cells of B",
        "-0.25 0.25 0.75",
        "n = 2 points (2 x 2), every 45.0 px in x and 30.0 px in y of A",
        "0 90 x in A (px)",
        "y in A (px)",
    ):
        assert words in told, words


def test_more_points_than_can_be_read_are_summed_up(texts):
    many = [(number, number) for number in range(matching_picture.NUMBERED + 1)]
    images, one = plain(many, many)
    picture(images, one)
    assert f"n = {len(many)} points" in " ".join(texts)
    assert "similarity from -0.50 to 0.88, mean 0.19" in texts
    assert not any(text.startswith("1: ") for text in texts)


# Machado, Oliveira and Fernandes (2009): dichromacy as a map of linear RGB, for missing L, M and S cones.
DICHROMACY = {
    "normal": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def oklab(colours, sight="normal") -> np.ndarray:
    """8-bit sRGB (..., 3) in OKLab (Ottosson, 2020); a just noticeable difference is about 0.02."""
    share = colours / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4) @ np.transpose(
        DICHROMACY[sight]
    )
    cones = [
        [0.41222147, 0.53633254, 0.05144599],
        [0.2119035, 0.68069955, 0.10739696],
        [0.08830246, 0.28171884, 0.6299787],
    ]
    lab = [
        [0.21045426, 0.79361779, -0.00407205],
        [1.9779985, -2.42859221, 0.45059371],
        [0.02590404, 0.78277177, -0.80867577],
    ]
    return np.cbrt(linear.clip(0, 1) @ np.transpose(cones)) @ np.transpose(lab)


def apart(values) -> np.ndarray:
    return np.linalg.norm(values[:, None] - values[None], axis=-1)


@pytest.mark.parametrize("sight", DICHROMACY)
def test_places_half_an_image_apart_differ_for_every_eye(sight):
    places = np.stack(np.meshgrid(*[np.linspace(0, 1, 9)] * 2), axis=-1).reshape(-1, 2)
    assert apart(oklab(position_colours(places), sight))[apart(places) >= 0.5].min() > 0.08


@pytest.mark.parametrize("sight", DICHROMACY)
def test_colours_of_points_differ_for_every_eye(sight):
    differences = apart(oklab(OKABE_ITO, sight))
    assert differences[~np.eye(len(OKABE_ITO), dtype=bool)].min() > 0.04


@pytest.mark.parametrize("sight", DICHROMACY)
def test_a_heat_map_is_lighter_where_it_is_higher_for_every_eye(sight):
    lightness = oklab(viridis(np.linspace(0, 1, 50)), sight)[:, 0]
    assert np.diff(lightness).min() > 0
    assert viridis(np.array([-1.0, 2.0])).tolist() == [[68, 1, 84], [253, 231, 37]]
