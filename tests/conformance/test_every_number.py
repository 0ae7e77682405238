"""Everything in the vectors is compared: numbers of the datasets, arrays, files that loaders read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from shutil import copytree
from typing import Any

import checks
import numpy as np
import pytest

from harness.specs import ImageRequest

VECTORS = Path(__file__).parent / "vectors"
EXPECTED: dict[str, list[dict[str, Any]]] = json.loads(
    (VECTORS / "datasets.json").read_text(encoding="utf-8")
)

CHECK_OF = {
    "matching.npz:out/pck": "matching_pck",
    "matching.npz:out/loss": "matching_loss",
    "matching.npz:out": "matching_localizers",
    "original_resolution_argmax.npz:": "original_argmax",
    "window_softmax.npz:": "window_softmax",
    "cpm.npz:": "cpm",
}


def expected_arrays() -> list[tuple[str, str, str]]:
    """(check, file, array) of every array that is compared by a check of `checks.py`."""
    arrays = []
    for path in sorted(VECTORS.glob("*.npz")):
        if path.name == "sd_features.npz":  # slow, and altered in test_conformance.py
            continue
        with np.load(path) as content:
            names = [f"{path.name}:{name}" for name in content.files if "out/" in name]
        for name in sorted(names):
            check = next(check for start, check in CHECK_OF.items() if name.startswith(start))
            arrays.append((check, *name.split(":")))
    return arrays


@pytest.mark.parametrize(("check", "file", "key"), expected_arrays())
def test_the_last_number_of_every_array_counts(check: str, file: str, key: str, tmp_path: Path) -> None:
    """The last one of a point that counts; the first is altered in test_conformance.py."""
    for entry in VECTORS.iterdir():
        if entry.name != file:
            (tmp_path / entry.name).symlink_to(entry)
    arrays = dict(np.load(VECTORS / file))
    value = arrays[key].copy()
    last = tuple(length - 1 for length in value.shape)
    if file == "matching.npz" and value.ndim == 3:
        last = (last[0], int(arrays["n_pts"][-1]) - 1, last[2])
    # Five pixels on in a map of whole pixels: a neighbour may be as similar.
    value[last] += 5 if value.dtype.kind == "i" else 0.01
    np.savez(tmp_path / file, **{**arrays, key: value})
    with pytest.raises(AssertionError):
        checks.CHECKS[check](tmp_path)


@pytest.fixture
def remembered_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decodes each picture once, and replaces it by its channels' means, which alone are compared."""
    means: dict[str, Any] = {}
    stretched_batch = checks.stretched_batch

    def batch_of_means(requests: list[ImageRequest], size: Any) -> Any:
        (request,) = requests
        if request.identity not in means:
            means[request.identity] = stretched_batch(requests, size).double().mean(dim=(2, 3), keepdim=True)
        return means[request.identity]

    monkeypatch.setattr(checks, "stretched_batch", batch_of_means)


@pytest.mark.parametrize("split", EXPECTED)
@pytest.mark.usefixtures("remembered_pictures")
def test_every_number_and_name_of_a_pair_counts(split: str) -> None:
    """On the last pair of each split: that every pair is compared is said by the next test."""
    pairs = EXPECTED[split]
    checks.compare_dataset(VECTORS, split, pairs)
    count = 0
    for key, value in pairs[-1].items():
        for changed in change_each_number(value):
            count += 1
            with pytest.raises(AssertionError):
                checks.compare_dataset(VECTORS, split, [*pairs[:-1], {**pairs[-1], key: changed}])
                pytest.fail(f"{key} of the last pair of {split} is not compared: {changed}", pytrace=False)
    points = pairs[-1]["n_points"]
    assert count == 3 + 1 + 2 * 2 * points + 1 + 2 * 3


@pytest.mark.parametrize("split", EXPECTED)
@pytest.mark.usefixtures("remembered_pictures")
def test_every_pair_counts(split: str) -> None:
    pairs = EXPECTED[split]
    for number, pair in enumerate(pairs):
        altered = {**pair, "pck_threshold": pair["pck_threshold"] + 0.01}
        for changed in (
            [*pairs[:number], altered, *pairs[number + 1 :]],
            [*pairs[:number], *pairs[number + 1 :]],
        ):
            with pytest.raises(AssertionError):
                checks.compare_dataset(VECTORS, split, changed)


def change_each_number(value: Any) -> Iterator[Any]:
    """Yields the value with one number or name in it changed, for each of them."""
    if isinstance(value, str):
        yield value + "x"
    elif isinstance(value, int):
        yield value + 1
    elif isinstance(value, float):
        yield value + 0.01
    else:
        for number, item in enumerate(value):
            for changed in change_each_number(item):
                yield [*value[:number], changed, *value[number + 1 :]]


@pytest.mark.parametrize(
    ("split", "file", "old", "new"),
    [
        ("spair/test", "SPair-71k/Layout/large/test.txt", "000013-2010_003593-2007_003748:aeroplane\n", ""),
        (
            "spair/test",
            "SPair-71k/PairAnnotation/test/000013-2010_003593-2007_003748:aeroplane.json",
            "[197, 29]",
            "[197, 30]",
        ),
        (
            "spair/test",
            "SPair-71k/PairAnnotation/test/000013-2010_003593-2007_003748:aeroplane.json",
            "101, 147]",
            "101, 148]",
        ),
        ("pfpascal/trn", "pf-pascal/trn_pairs.csv", ",18,1", ",18,0"),
        ("pfwillow/test", "pf-willow/test_pairs.csv", "236.289", "236.389"),
    ],
)
@pytest.mark.usefixtures("remembered_pictures")
def test_a_changed_annotation_is_noticed(split: str, file: str, old: str, new: str, tmp_path: Path) -> None:
    copytree(VECTORS / "datasets", tmp_path / "datasets")
    checks.compare_dataset(tmp_path, split, EXPECTED[split])
    path = tmp_path / "datasets" / file
    content = path.read_text(encoding="utf-8")
    assert old in content
    path.write_text(content.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(AssertionError):
        checks.compare_dataset(tmp_path, split, EXPECTED[split])
