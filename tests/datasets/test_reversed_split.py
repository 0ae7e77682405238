"""PF-PASCAL's split `test-reversed`: the pairs of `test` with source and target exchanged."""

import json

import numpy as np
import pytest
from scipy.io import savemat
from support.layouts import PAIRS, POINTS, make_pascal, pascal_rows

from harness.datasets import pf_pascal
from harness.datasets.splits import read_split

REVERSED = "test-reversed"


@pytest.fixture
def folder(tmp_path):
    """Pictures with boxes of their own; the last row is mirrored."""
    rows = [[*row[:3], "0"] for row in pascal_rows()]
    rows[0][-1], rows[-1][-1] = "flip", "1"
    made = make_pascal(tmp_path / "data" / "pf-pascal", rows)
    for number in range(3):
        path = made / "PF-dataset-PASCAL" / "Annotations" / "cat" / f"{number}.mat"
        box = np.array([[5, 5, 40 + number, 40]])
        savemat(path, {"kps": np.array(POINTS) + [number, 0], "bbox": box})
    return made


def test_pictures_points_and_boxes_are_exchanged(folder):
    test, reverse = (read_split(pf_pascal.SPEC, folder, split) for split in ("test", REVERSED))
    assert len(test.pair_ids) == len(reverse.pair_ids) == len(PAIRS)
    assert not reverse.broken
    for there, back in zip(test.pairs.values(), reverse.pairs.values(), strict=True):
        for one, other in (("source", "target"), ("target", "source")):
            assert getattr(back, one) == getattr(there, other)
            for what in ("size", "box"):
                assert getattr(back, f"{one}_{what}") == getattr(there, f"{other}_{what}")
            np.testing.assert_array_equal(getattr(back, f"{one}_points"), getattr(there, f"{other}_points"))
        assert back.source_box != back.target_box
        assert (back.keypoint_ids, back.category) == (there.keypoint_ids, there.category)
    assert any(pair.source.mirror for pair in reverse.pairs.values())


def test_its_pairs_and_its_data_have_names_of_their_own(folder):
    test, reverse = (read_split(pf_pascal.SPEC, folder, split) for split in ("test", REVERSED))
    number, source, target, flip = test.pair_ids[0].split("-")
    assert reverse.pair_ids[0] == f"{number}-{target}-{source}-{flip}"
    assert test.manifest != reverse.manifest
    assert pf_pascal.SPEC.counts[REVERSED] == pf_pascal.SPEC.counts["test"]
    assert pf_pascal.SPEC.splits[0] == "test"


def test_it_is_listed_verified_and_run(bench, folder, tmp_path):
    root = folder.parent
    assert REVERSED in bench("list", "datasets").out
    verified = bench("data", "verify", "pf-pascal", "--split", REVERSED, "--data-root", root).out
    assert f"{REVERSED}" in verified
    run = ("run", "--methods", "position", "--datasets", "pf-pascal", "--data-root", root)
    assert bench(*run, "--split", REVERSED, "--out", tmp_path / "out").status == 0
    (path,) = (tmp_path / "out").rglob("record.json")
    record = json.loads(path.read_text())
    assert record["cell"]["split"] == REVERSED
    # Another split of the same dataset is another cell beside it.
    assert bench(*run, "--out", tmp_path / "out").status == 0
    assert len(list((tmp_path / "out").rglob("record.json"))) == 2
    assert f"pf-pascal/{REVERSED}" in bench("leaderboard", tmp_path / "out").out
