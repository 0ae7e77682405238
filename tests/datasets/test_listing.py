"""`bench data pictures`: what a list of a split's pictures lacks is said."""

from __future__ import annotations

import csv
import io

from harness.datasets.folder import SPEC as FOLDER
from harness.datasets.listing import left_out_lines
from harness.datasets.splits import read_split


def test_pictures_that_are_left_out_are_said(bench, photos):
    whole = bench("data", "pictures", f"folder={photos}")
    assert (whole.status, whole.err) == (0, "")
    rows = list(csv.DictReader(io.StringIO(whole.out)))
    assert len(rows) == 4
    broken, *_ = sorted(photos.glob("*.png"))
    broken.unlink()
    done = bench("data", "pictures", f"folder={photos}")
    assert done.status == 1
    assert len(list(csv.DictReader(io.StringIO(done.out)))) == 3
    assert "test: 6 pairs cannot be read, and pictures that no other pair has are left" in done.complaint
    assert broken.name in done.complaint


def test_a_picture_that_goes_while_a_split_is_read_is_said(photos):
    index = read_split(FOLDER, photos, "test")
    gone, *_ = sorted(photos.glob("*.png"))
    gone.unlink()
    (line,) = left_out_lines(index)
    assert line.startswith(f"{index.label} test: 1 picture left out; the first: ")
    assert gone.name in line
