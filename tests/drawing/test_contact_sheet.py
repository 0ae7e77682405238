"""Contact sheets: where pictures land, that nothing of a label is lost, and how files are written."""

from __future__ import annotations

import numpy as np
import PIL.Image
import PIL.ImageFont
import pytest

from harness import files
from harness.drawing.contact_sheet import FORMATS, THUMB, draw_sheet, fit_image, wrap_text, write_sheet
from harness.errors import UserError

RED, BLUE = (250, 10, 10), (10, 10, 250)

FONT = PIL.ImageFont.load_default(16)

LONG = (
    "sd4match-class: a category of an uncommonly long name, "
    "and/a/path/without/a/single/space/in/it.safetensors"
)


def blank(colour, size=(40, 40)):
    return PIL.Image.new("RGB", size, colour)


def box(image, colour):
    """Left, top, width and height of the area that has a colour."""
    ys, xs = np.nonzero((np.asarray(image) == colour).all(axis=2))
    return xs.min(), ys.min(), int(np.ptp(xs)) + 1, int(np.ptp(ys)) + 1


def test_pictures_stand_in_rows_and_columns_on_white():
    sheet = draw_sheet(
        [("first", [blank((1, 2, 3)), blank(RED)]), ("second", [blank(BLUE)])],
        columns=["a", "b"],
        title="title",
    )
    left, top, *size = box(sheet, RED)
    left_below, below, *_ = box(sheet, BLUE)
    assert size == [THUMB, THUMB]
    assert left > left_below + THUMB - 1
    assert below > top + THUMB - 1
    assert sheet.getpixel((0, 0)) == (255, 255, 255)
    # The second row has one picture.
    assert sheet.getpixel((left, below)) == (255, 255, 255)


def test_aspect_is_kept_and_small_pictures_grow():
    sheet = draw_sheet([("wide", [blank(RED, (96, 48))])], thumb=128)
    assert box(sheet, RED)[2:] == (128, 64)
    assert fit_image(PIL.Image.new("L", (1, 1000)), 128).size == (1, 128)
    assert fit_image(PIL.Image.new("RGBA", (768, 768)), 128).mode == "RGB"


def test_wrapping_loses_no_letter_and_keeps_to_the_width():
    lines = wrap_text(LONG, FONT, 120)
    assert "".join(lines).replace(" ", "") == LONG.replace(" ", "")
    assert max(FONT.getlength(line) for line in lines) <= 120
    assert wrap_text("two words", FONT, 500) == ["two words"]
    assert wrap_text(" ", FONT, 500) == []


def test_a_label_longer_than_its_picture_makes_room_and_stays_off_the_pictures():
    short, tall = (draw_sheet([(label, [blank(RED)]), ("next", [blank(BLUE)])]) for label in ("x", LONG * 4))
    assert tall.height > short.height
    assert box(tall, RED)[2:] == (THUMB, THUMB)
    assert box(tall, BLUE)[0] == box(short, BLUE)[0]
    alone = np.asarray(draw_sheet([(LONG * 4, [])]).convert("L")) < 100
    assert 100 < np.nonzero(alone)[1].max() < box(tall, RED)[0]


def test_a_label_is_written_beside_its_row():
    labelled, unlabelled = (np.asarray(draw_sheet([(label, [blank(RED)])])) for label in ("label", ""))
    assert not np.array_equal(labelled, unlabelled)


@pytest.mark.parametrize("suffix", [*FORMATS, ".PNG"])
def test_the_suffix_says_the_format(tmp_path, suffix):
    path = tmp_path / f"sheet{suffix}"
    write_sheet(draw_sheet([("red", [blank(RED)])]), path)
    with PIL.Image.open(path) as image:
        assert image.format == FORMATS[suffix.lower()]
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "sheet.png"
    path.write_bytes(b"before")

    def fail(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", fail)
    with pytest.raises(UserError, match=r"sheet.png: No space left on device; make room"):
        write_sheet(blank(RED), path)
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"before"]


def test_places_that_cannot_be_written_are_one_line(tmp_path, monkeypatch):
    (tmp_path / "folder.png").mkdir()
    wrong = {
        "sheet.tiff": "a sheet is written as .png, .jpg",
        "sheet": "the suffix says which",
        "none/sheet.png": "none is not a folder; make it first",
        "folder.png": "is a folder; name a file",
    }
    for name, message in wrong.items():
        with pytest.raises(UserError, match=message) as failure:
            write_sheet(blank(RED), tmp_path / name)
        assert "\n" not in str(failure.value)
    # The superuser may write anywhere.
    monkeypatch.setattr(files.os, "access", lambda path, mode: False)
    with pytest.raises(UserError, match="cannot be written to"):
        write_sheet(blank(RED), tmp_path / "sheet.png")
    assert [path.name for path in tmp_path.iterdir()] == ["folder.png"]
