"""Pixels of objects, which datasets with the ability hand out by pair."""

from __future__ import annotations

import numpy as np
import PIL.Image
import pytest

from harness.datasets.lists import VOC_CATEGORIES
from harness.datasets.shapes.export import ExportOptions, export
from harness.datasets.shapes.pairs import Shapes
from harness.datasets.spair71k import SPair71k
from harness.errors import DataError
from harness.specs import MaskedDataset, is_masked_dataset


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("masks") / "shapes"
    export(folder, ExportOptions(("val",), voc_only=True))
    return folder


def test_masks_of_drawn_pictures_are_those_of_their_export(exported):
    shapes, spair = Shapes("val"), SPair71k(exported, "val")
    assert isinstance(shapes, MaskedDataset) and is_masked_dataset(spair)
    numbers = {pair_id: number for number, pair_id in enumerate(shapes.pair_ids)}
    for number, pair_id in list(enumerate(spair.pair_ids))[::25]:
        pair = spair[number]
        masks, expected = spair.masks(number), shapes.masks(numbers[pair_id])
        for mask, drawn, size in zip(masks, expected, (pair.source_size, pair.target_size), strict=True):
            assert mask.dtype == bool and mask.shape == (size.height, size.width)
            assert np.array_equal(mask, drawn) and 0 < mask.mean() < 0.9


def test_an_object_lies_in_its_box():
    shapes = Shapes("val")
    pair = shapes[7]
    for mask, box in zip(shapes.masks(7), (pair.source_box, pair.target_box), strict=True):
        rows, columns = np.nonzero(mask)
        x1, y1, x2, y2 = box
        assert x1 - 1 <= columns.min() and columns.max() <= x2 and y1 - 1 <= rows.min() and rows.max() <= y2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "fetch the dataset again"),
        (PIL.Image.new("RGB", (8, 8)), "of mode RGB"),
        (PIL.Image.new("L", (8, 8)), "is 8 x 8, its picture"),
    ],
)
def test_a_mask_that_is_none_is_named(exported, content, message):
    spair = SPair71k(exported, "val")
    pair = spair[3]
    assert pair.category in VOC_CATEGORIES
    stem = pair.target.name.removeprefix(f"{pair.category}-")
    path = exported / "Segmentation" / pair.category / f"{stem}.png"
    before = path.read_bytes()
    try:
        path.unlink()
        if content:
            content.save(path)
        with pytest.raises(DataError, match=message) as caught:
            spair.masks(3)
        assert str(path) in str(caught.value)
    finally:
        path.write_bytes(before)
