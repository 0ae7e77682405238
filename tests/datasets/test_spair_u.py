"""SPair-U: annotations of its own over the pictures of SPair-71k, wherever these lie."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest
from support.layouts import PAIRS, POINTS, make_spair, spair_annotation, write_spair_annotation

from harness.datasets import spair71k, spair_u
from harness.datasets.splits import read_split
from harness.errors import UserError

NAMES = [f"{number:06d}-{source}-{target}:cat" for number, (source, target) in enumerate(PAIRS)]


@pytest.fixture
def root(tmp_path):
    """A data root with SPair-71k and, over two of its three pairs, SPair-U as its archive is."""
    root = tmp_path / "data"
    make_spair(root / "SPair-71k")
    for number, (source, target) in enumerate(PAIRS[:2]):
        annotation = spair_annotation(source, target)
        annotation.update(src_kps=[[7, 8]], trg_kps=[[20 + number, 9]], kps_ids=["0"])
        write_spair_annotation(root / "SPair-U", NAMES[number], json.dumps(annotation))
    path = root / "SPair-U" / "ImageAnnotation" / "cat" / "0.json"
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    return root


def read(folder):
    return read_split(spair_u.SPEC, folder, "test")


def test_its_points_are_its_own_and_its_pictures_those_of_spair_71k(root):
    index = read(root / "SPair-U")
    assert index.pair_ids == tuple(NAMES[:2]) and not index.broken
    pair = index.pairs[NAMES[1]]
    assert pair.target_points.tolist() == [[21, 9]]
    whole = read_split(spair71k.SPEC, root / "SPair-71k", "test")
    assert whole.pairs[NAMES[1]].target_points.tolist() == [[x + 2, y] for x, y in POINTS]
    # The same picture, by content: its features are computed once for both.
    assert pair.source.identity() == whole.pairs[NAMES[1]].source.identity()
    assert index.manifest != whole.manifest


def test_pictures_may_lie_in_its_own_folder(root):
    """A link, as the published instructions make it."""
    (root / "SPair-U" / "JPEGImages").symlink_to(root / "SPair-71k" / "JPEGImages")
    alone = shutil.move(root / "SPair-U", root.parent / "elsewhere")
    assert not read(alone).broken


def test_an_archive_unpacked_by_hand(root):
    inner = root / "SPair-U" / "datasets" / "SPair-U"
    inner.mkdir(parents=True)
    shutil.move(root / "SPair-U" / "PairAnnotation", inner)
    assert len(read(root / "SPair-U").pairs) == 2


def test_names_without_a_colon(root):
    for path in list((root / "SPair-U" / "PairAnnotation" / "test").iterdir()):
        path.rename(path.with_name(path.name.replace(":", "_")))
    assert read(root / "SPair-U").pair_ids == tuple(NAMES[:2])


def test_a_pair_without_a_shared_point_is_left_out(root):
    annotation = spair_annotation(2, 0)
    annotation.update(src_kps=[], trg_kps=[], kps_ids=[])
    write_spair_annotation(root / "SPair-U", NAMES[2], json.dumps(annotation))
    index = read(root / "SPair-U")
    assert not index.broken and index.excluded == {NAMES[2]}


def test_it_says_which_folder_lacks_what(root):
    folder = root / "SPair-U"
    shutil.move(root / "SPair-71k", root / "moved")
    with pytest.raises(UserError) as pictures:
        read(folder)
    assert str(pictures.value) == (
        "dataset spair-u: its pictures are those of spair-71k, and neither "
        f"{folder / 'JPEGImages'} nor {root / 'SPair-71k' / 'JPEGImages'} is there; "
        f"'bench data fetch spair-71k' downloads them, or link JPEGImages into {folder}"
    )
    shutil.rmtree(folder / "PairAnnotation" / "test")
    with pytest.raises(UserError, match=r"^dataset spair-u: .*PairAnnotation/test is not there; 'bench data"):
        read(folder)
    (folder / "PairAnnotation" / "test").mkdir()
    with pytest.raises(UserError, match=r"^dataset spair-u: .*test has no \.json file"):
        read(folder)


def test_a_damaged_annotation_costs_its_own_pair(root):
    write_spair_annotation(root / "SPair-U", NAMES[0], "[]")
    index = read(root / "SPair-U")
    assert list(index.broken) == [NAMES[0]] and "is not an object" in index.broken[NAMES[0]]


def test_masks_are_those_of_spair_71k(root):
    import PIL.Image

    classes = np.zeros((48, 60), np.uint8)
    classes[:5] = 8
    for number in range(3):
        path = root / "SPair-71k" / "Segmentation" / "cat" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(classes).save(path)
    source, _ = spair_u.SPEC.open(root / "SPair-U", "test").masks(0)
    assert source.sum() == 5 * 60


def test_a_run_has_its_name(bench, root, tmp_path):
    out = tmp_path / "r"
    data = ("--datasets", "spair-u", "--data-root", root)
    done = bench("run", "--methods", "position", *data, "--out", out)
    assert done.status == 0 and "spair-u @0.10" in done.out
    given = ("--datasets", f"spair-u={root / 'SPair-U'}", "--out", tmp_path / "q")
    assert bench("run", "--methods", "position", *given).status == 0
    listed = bench("data", "list", "--data-root", root).out
    assert re.search(r"^spair-u +test +– +– +– +present ", listed, re.MULTILINE)
