"""MATLAB files: the numbers that scipy reads, and an error of one line for every damage."""

from __future__ import annotations

import io
import os

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from harness.datasets.mat_file import MatError, parse_arrays, read_arrays
from harness.datasets.pf_pascal import read_annotation
from harness.errors import DataError

POINTS = np.array([[1.5, 2.25], [np.nan, np.nan], [30, 4]])


def saved(compressed: bool = False, **variables: object) -> bytes:
    file = io.BytesIO()
    savemat(file, variables or {"kps": POINTS, "bbox": np.array([[1, 2, 30, 40]])}, do_compression=compressed)
    return file.getvalue()


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("kind", ["f8", "f4", "u1", "i2", "u2", "i4", "u4", "i8", "u8"])
def test_numbers_of_every_kind_are_those_that_scipy_reads(kind, compressed):
    content = saved(compressed, kps=np.arange(6).reshape(3, 2).astype(kind), bbox=np.zeros((1, 4), kind))
    arrays = parse_arrays(content, ("kps", "bbox"))
    assert arrays["kps"].tolist() == [[0, 1], [2, 3], [4, 5]]
    assert loadmat(io.BytesIO(content))["kps"].tolist() == arrays["kps"].tolist()
    assert arrays["bbox"].shape == (1, 4)


def test_variables_that_are_not_wanted_may_be_anything():
    others = {"text": "some", "cell": np.array(["x", 1], dtype=object), "struct": {"a": 1}, "complex": 1j}
    arrays = parse_arrays(saved(True, kps=POINTS, **others), ("kps", "bbox"))
    np.testing.assert_array_equal(arrays["kps"], POINTS)
    assert set(arrays) == {"kps"}


def test_the_other_byte_order():
    """As MATLAB wrote it on other machines: every number turned round."""
    little = saved(kps=np.array([[1.5, 2.5]]))
    words = np.frombuffer(little[128:], "<u4").astype(">u4").tobytes()
    # The name is text, and the numbers have eight bytes.
    words = words.replace(b"\x00spk", b"kps\x00")
    body = words[:-16] + np.array([1.5, 2.5], ">f8").tobytes()
    assert parse_arrays(little[:124] + b"\x01\x00MI" + body, ("kps",))["kps"].tolist() == [[1.5, 2.5]]


@pytest.mark.parametrize("compressed", [False, True])
def test_no_bit_does_more_than_raise(compressed):
    """Of a compressed file, whose checksum covers the numbers, no bit changes a number, either."""
    content = saved(compressed)
    whole = parse_arrays(content, ("kps", "bbox"))
    for position in range(8 * len(content)):
        damaged = bytearray(content)
        damaged[position // 8] ^= 1 << position % 8
        try:
            arrays = parse_arrays(bytes(damaged), ("kps", "bbox"))
        except MatError as error:
            assert "\n" not in str(error)
            continue
        if compressed:
            for name, array in arrays.items():
                np.testing.assert_array_equal(array, whole[name])


@pytest.mark.parametrize("compressed", [False, True])
def test_no_end_does_more_than_raise(compressed):
    content = saved(compressed)
    for length in range(len(content)):
        try:
            assert set(parse_arrays(content[:length], ("kps", "bbox"))) < {"kps", "bbox"}
        except MatError:
            continue


WRONG = {
    "text": (saved(kps="points"), "not an array of real numbers"),
    "complex": (saved(kps=np.array([[1j, 2]])), "not an array of real numbers"),
    "three dimensions": (saved(kps=np.zeros((2, 2, 2))), "for the shape"),
    "no points": (saved(bbox=np.zeros((1, 4))), "key 'kps' is missing"),
    "points on their side": (saved(kps=np.zeros((2, 3))), "kps has the shape (2, 3), not (points, 2)"),
    "a flat list": (saved(kps=np.arange(6.0)), "kps has the shape (1, 6), not (points, 2)"),
    "box of three": (saved(kps=POINTS, bbox=np.zeros((1, 3))), "bbox must be [x1, y1, x2, y2]"),
    "box without area": (saved(kps=POINTS, bbox=np.zeros((1, 4))), "bbox [0, 0, 0, 0] is empty"),
    "box of NaN": (saved(kps=POINTS, bbox=np.full((1, 4), np.nan)), "is empty"),
    "version 7.3": (b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM", "version 7.3"),
    "version 4": (b"\x00" * 200, "version 4 or of another format"),
    "nothing": (b"", "fewer than a header"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_no_annotation_is_told(wrong, tmp_path):
    content, message = WRONG[wrong]
    (tmp_path / "a.mat").write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_annotation(tmp_path / "a.mat")
    assert message in str(caught.value)
    assert str(tmp_path / "a.mat") in str(caught.value)


def test_an_empty_box_and_no_points_are_none(tmp_path):
    (tmp_path / "a.mat").write_bytes(saved(kps=np.zeros((0, 0)), bbox=np.zeros((0, 0))))
    points, box = read_annotation(tmp_path / "a.mat")
    assert points.shape == (0, 2)
    assert box is None


def test_a_file_that_is_missing_or_none(tmp_path):
    with pytest.raises(DataError, match=r"a\.mat: is missing"):
        read_arrays(tmp_path / "a.mat", ("kps",))
    os.mkfifo(tmp_path / "a.mat")
    with pytest.raises(DataError, match="a pipe"):
        read_arrays(tmp_path / "a.mat", ("kps",))
