"""The pictures of the page on frames: drawn anew they are the same, and the page says what they show."""

from __future__ import annotations

import runpy

import pytest
from support.paths import ROOT

from harness.frames import Frame, Size

DRAWN = runpy.run_path(str(ROOT / "docs" / "draw_frames.py"))
PAGE = (ROOT / "docs" / "explanation" / "frames.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", list(DRAWN["DRAWINGS"]))
def test_a_picture_is_what_its_program_draws(name, tmp_path):
    DRAWN["main"](tmp_path)
    assert (ROOT / "docs" / "images" / name).read_bytes() == (tmp_path / name).read_bytes()


def test_the_page_has_the_numbers_of_the_pictures():
    rows = [line for line in PAGE.splitlines() if line.startswith("| `")]
    for name, frame in DRAWN["frames_by_protocol"]().items():
        (row,) = (line for line in rows if line.startswith(f"| `{name}`"))
        assert f"| {DRAWN['threshold'](frame):.1f} |" in row
        for point in DRAWN["PREDICTED"].values():
            verdict = "right" if DRAWN["is_right"](frame, point) else "wrong"
            assert f"| {DRAWN['distance'](frame, point):.1f} away: {verdict} |" in row
    for name, convention, cells in DRAWN["GRIDS"]:
        places = ", ".join(f"{place:g}" for place in DRAWN["centres"](convention, cells))
        (row,) = (line for line in rows if line.startswith(f"| `{name.partition('(')[0]}"))
        assert places in row


def test_stretching_alone_makes_the_circle_an_ellipse():
    """By hand: a box of 160 x 120 pixels, stretched by 0.8 and 1.2 to 128 x 144."""
    stretched = Frame.stretched(Size(300, 200), Size(240, 240))
    assert DRAWN["threshold"](stretched) == pytest.approx(14.4)
    assert DRAWN["is_right"](stretched, (150 + 17.9, 100))
    assert not DRAWN["is_right"](stretched, (150, 100 + 12.1))
    original = Frame.unchanged(Size(300, 200))
    padded = Frame.padded(Size(300, 200), 240)
    for point in ((150 + 15.9, 100), (150, 100 - 15.9)):
        assert DRAWN["is_right"](original, point) and DRAWN["is_right"](padded, point)
