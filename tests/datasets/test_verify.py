"""`bench data verify` on a made-up PF-WILLOW, and `bench data export`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from shutil import copytree

import PIL.Image
import pytest
from support.photos import draw, read_list, write_list

from harness.datasets import pf_willow
from harness.datasets.verify import verify_dataset

PICTURES = 4


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """A data root whose pf-willow has all twelve pairs of four pictures."""
    folder = tmp_path / "data" / "pf-willow"
    paths = [f"PF-dataset/car(G)/Cars_{number}.png" for number in range(PICTURES)]
    for number, path in enumerate(paths):
        draw(folder / path, number)
    columns = [f"{axis}{image}{i}" for image in "AB" for axis in "XY" for i in range(1, 11)]
    rows = [",".join([a, b, *(str(i % 30 + 5) for i in range(40))]) for a in paths for b in paths if a != b]
    (folder / "test_pairs.csv").write_text(
        "\n".join([",".join(["imageA", "imageB", *columns]), *rows]) + "\n"
    )
    counts = {"test": {"pairs": 12, "images": 4, "keypoints": 120}}
    monkeypatch.setattr(pf_willow, "SPEC", replace(pf_willow.SPEC, counts=counts))
    return tmp_path / "data"


def picture(root: Path, number: int) -> Path:
    return root / "pf-willow" / "PF-dataset" / "car(G)" / f"Cars_{number}.png"


def cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def test_a_whole_dataset(bench, root):
    done = bench("data", "verify", "pf-willow", "--data-root", root)
    assert (done.status, done.warnings) == (0, [])
    assert done.out == "pf-willow test: ok (12 pairs, 4 image names, 120 keypoints)\n"


def test_missing_and_cut_pictures_are_named_together(bench, root):
    picture(root, 1).unlink()
    cut(picture(root, 2))
    done = bench("data", "verify", "pf-willow", "--data-root", root)
    assert (done.status, done.warnings) == (1, [])
    lines = done.out.splitlines()
    numbers = "12 pairs, 6 of them unreadable, 3 image names, 60 keypoints"
    assert lines[0] == f"pf-willow test: incomplete or changed ({numbers})"
    assert {
        "  3 image names instead of the official 4",
        "  60 keypoints instead of the official 120",
    } < set(lines)
    (missing,) = [line for line in lines if str(picture(root, 1)) in line]
    assert "(6 pairs)" in missing
    (damaged,) = [line for line in lines if str(picture(root, 2)) in line]
    assert "cannot be decoded" in damaged
    assert len(lines) == 5


def test_a_picture_whose_header_is_gone(bench, root):
    picture(root, 3).write_bytes(b"")
    done = bench("data", "verify", "pf-willow", "--data-root", root)
    assert done.status == 1
    assert str(picture(root, 3)) in done.out


def test_two_pictures_with_the_same_damage_are_both_named(root):
    for number in (0, 1):
        picture(root, number).write_bytes(picture(root, 2).read_bytes()[:200])
    (report,) = verify_dataset(pf_willow.SPEC, root / "pf-willow", ["test"])
    assert all(any(str(picture(root, number)) in fault for fault in report.faults) for number in (0, 1))


def test_a_damaged_row_is_named(bench, root):
    path = root / "pf-willow" / "test_pairs.csv"
    lines = path.read_text().splitlines()
    lines[3] = lines[3].replace(",5,", ",five,", 1)
    path.write_text("\n".join(lines))
    done = bench("data", "verify", "pf-willow", "--data-root", root)
    assert done.status == 1
    assert "(12 pairs, 1 of them unreadable, " in done.out
    assert "pairs instead" not in done.out
    assert f"{path}: row 4" in done.out


def test_ten_faults_are_told_and_all_are_in_json(bench, photos):
    content = read_list(photos)
    for number, pair in enumerate(content["pairs"]):
        pair["source_points"][0] = [500 + number, 0]
    write_list(photos, content)
    done = bench("data", "verify", f"folder={photos}")
    assert done.status == 1
    assert len(done.out.splitlines()) == 1 + 10 + 1
    assert done.out.splitlines()[-1] == "  and 2 more; --json has all"
    done = bench("data", "verify", f"folder={photos}", "--json")
    assert done.status == 1
    (report,) = json.loads(done.out)
    assert len(report["faults"]) == 12
    assert (report["dataset"], report["label"], report["split"], report["whole"]) == (
        "folder",
        "folder:photos",
        "test",
        False,
    )


def test_a_list_of_a_single_pair(bench, photos):
    content = read_list(photos)
    content["pairs"] = content["pairs"][:1]
    write_list(photos, content)
    done = bench("data", "verify", f"folder={photos}")
    assert (done.status, done.out) == (0, "folder:photos test: ok (1 pair, 2 image names, 5 keypoints)\n")


def test_your_own_list_by_its_path(bench, photos):
    done = bench("data", "verify", f"folder={photos / 'pairs.json'}")
    assert (done.status, done.out) == (0, "folder:photos test: ok (12 pairs, 4 image names, 60 keypoints)\n")


def test_only_points_in_both_pictures_are_counted(bench, photos):
    content = read_list(photos)
    content["pairs"][0]["target_points"][1] = None
    write_list(photos, content)
    assert "59 keypoints" in bench("data", "verify", f"folder={photos}").out


def spair(folder: Path, splits: dict[str, int]) -> None:
    """SPair-71k's layout with so many pairs in each split."""
    for number in range(2):
        draw(folder / "JPEGImages" / "cat" / f"{number}.png", number)
    for split, pairs in splits.items():
        names = [f"{number:06d}-0-1:cat" for number in range(pairs)]
        (folder / "Layout" / "large").mkdir(parents=True, exist_ok=True)
        (folder / "Layout" / "large" / f"{split}.txt").write_text("\n".join(names))
        (folder / "PairAnnotation" / split).mkdir(parents=True)
        annotation = {
            **{"category": "cat", "src_imname": "0.png", "trg_imname": "1.png", "kps_ids": ["0", "3"]},
            **{"src_kps": [[1, 2], [3, 4]], "trg_kps": [[1, 2], [3, 4]]},
            **{
                "src_imsize": [60, 48, 3],
                "trg_imsize": [60, 48, 3],
                "src_bndbox": [0, 0, 9, 9],
                "trg_bndbox": [0, 0, 9, 9],
            },
        }
        for name in names:
            (folder / "PairAnnotation" / split / f"{name}.json").write_text(json.dumps(annotation))


def test_a_picture_of_another_size_than_annotated(bench, tmp_path):
    spair(tmp_path / "SPair-71k", {"test": 3})
    PIL.Image.new("RGB", (50, 48)).save(tmp_path / "SPair-71k" / "JPEGImages" / "cat" / "1.png")
    done = bench("data", "verify", "spair-71k", "--split", "test", "--data-root", tmp_path)
    assert done.status == 1
    assert "image cat-1: has 50 x 48 pixels, its annotation says 60 x 48" in done.out
    assert "(3 pairs)" in done.out
    assert "3 pairs instead of the official 12,234" in done.out


def test_a_missing_picture_behind_whole_annotations(bench, tmp_path):
    spair(tmp_path / "SPair-71k", {"test": 3})
    path = tmp_path / "SPair-71k" / "JPEGImages" / "cat" / "1.png"
    path.unlink()
    done = bench("data", "verify", "spair-71k", "--split", "test", "--data-root", tmp_path)
    (line,) = [line for line in done.out.splitlines() if str(path) in line]
    assert "No such file" in line


def test_two_names_of_one_split_are_gone_through_once(bench, tmp_path):
    spair(tmp_path / "SPair-71k", {"test": 2, "val": 3, "trn": 4})
    done = bench("data", "verify", "spair-71k", "--data-root", tmp_path)
    assert "spair-71k trn: the same as train\n" in done.out
    assert done.out.count("4 pairs instead of the official 53,340") == 1


def test_splits_with_the_same_names_of_pairs_are_still_two(tmp_path):
    """Names alone do not make splits the same."""
    from harness.datasets.spair71k import SPEC

    spair(tmp_path, {"val": 2, "test": 2})
    path = next((tmp_path / "PairAnnotation" / "val").iterdir())
    path.write_text(path.read_text().replace("[3, 4]", "[4, 4]"))
    assert [report.same_as for report in verify_dataset(SPEC, tmp_path, ["test", "val"])] == ["", ""]


def test_a_split_that_is_not_there_is_a_fault(bench, tmp_path):
    spair(tmp_path / "SPair-71k", {"test": 2})
    done = bench("data", "verify", "spair-71k", "--data-root", tmp_path)
    assert done.status == 1
    assert "spair-71k val: incomplete or changed (not read)" in done.out
    assert "val.txt is not there" in done.out


def test_a_dataset_that_is_not_there_at_all(bench, tmp_path, root):
    done = bench("data", "verify", "pf-pascal", "--data-root", tmp_path)
    assert (done.status, done.out) == (2, "")
    assert "'bench data fetch pf-pascal' downloads it" in done.complaint
    done = bench("data", "verify", "pf-pascal", "pf-willow", "--data-root", root)
    assert done.status == 2
    assert "pf-willow test: ok" in done.out
    assert "bench data fetch pf-pascal" in done.complaint


def test_without_names_all_that_is_there_is_verified(bench, root, monkeypatch):
    monkeypatch.setenv("BENCH_DATA_ROOT", str(root))
    done = bench("data", "verify", "--json", "--split", "test")
    assert done.status == 0
    assert {"pf-willow"} <= {report["dataset"] for report in json.loads(done.out)} <= {"pf-willow", "shapes"}


def test_a_half_there_dataset_is_verified_without_names_too(bench, root):
    (root / "pf-willow" / "test_pairs.csv").unlink()
    done = bench("data", "verify", "--split", "test", "--data-root", root)
    assert done.status == 2
    assert "test_pairs.csv is not there" in done.complaint


def test_unknown_names_are_told_with_the_nearest(bench, root):
    done = bench("data", "verify", "pf-wilow", "--data-root", root)
    assert done.status == 2
    assert "did you mean pf-willow" in done.complaint
    done = bench("data", "verify", "pf-willow", "--split", "trn", "--data-root", root)
    assert done.status == 2
    assert done.complaint == "bench: dataset pf-willow has no split 'trn'; it has test"


def test_the_data_root_may_be_a_copy_elsewhere(bench, root, tmp_path):
    copytree(root / "pf-willow", tmp_path / "copy")
    assert (
        bench("data", "verify", f"pf-willow={tmp_path / 'copy'}", "--data-root", tmp_path / "nowhere").status
        == 0
    )


def test_of_the_drawn_dataset_a_sample_is_drawn_and_verify_says_so(bench):
    done = bench("data", "verify", "shapes", "--split", "val")
    assert (done.status, done.err) == (0, "")
    assert done.out == (
        "shapes val: ok (250 pairs, 148 image names, 2,374 keypoints; "
        "50 of the images drawn, to see that they can be)\n"
    )
    (report,) = json.loads(bench("data", "verify", "shapes", "--split", "val", "--json").out)
    assert report["sample"] == 50


def test_the_state_of_a_dataset_that_is_not_whole(bench, root):
    """As many pictures as there should be, and a list that broke off."""

    def state() -> dict:
        objects = json.loads(bench("data", "list", "--json", "--data-root", root).out)
        (willow,) = [entry for entry in objects if entry["name"] == "pf-willow"]
        return willow

    (root / "pf-willow" / "PF-dataset" / "car(G)").mkdir(exist_ok=True)
    assert state()["state"] == "present"
    path = root / "pf-willow" / "test_pairs.csv"
    path.write_text("\n".join(path.read_text().splitlines()[:5]) + "\n")
    assert (state()["state"], state()["missing"]) == (
        "not whole",
        ["test: 4 pairs instead of the official 12"],
    )


def test_a_run_on_a_split_that_is_not_whole_says_so_before_the_work(bench, root, tmp_path):
    path = root / "pf-willow" / "test_pairs.csv"
    path.write_text("\n".join(path.read_text().splitlines()[:5]) + "\n")
    done = bench(
        *("run", "--methods", "position,hog", "--datasets", "pf-willow"),
        *("--data-root", root, "--out", tmp_path / "r"),
    )
    assert done.status == 0
    assert done.complaint.startswith("bench: pf-willow test: 4 pairs instead of the official 12; ")


def test_verify_and_run_count_pairs_in_the_same_words(bench, tmp_path):
    spair(tmp_path / "SPair-71k", {"test": 3})
    pair = next((tmp_path / "SPair-71k" / "PairAnnotation" / "test").iterdir())
    pair.write_text("{")
    words = "3 pairs instead of the official 12,234"
    done = bench("data", "verify", "spair-71k", "--split", "test", "--data-root", tmp_path)
    assert words in done.out
    run = ("run", "--methods", "position", "--datasets", "spair-71k", "--data-root", tmp_path)
    done = bench(*run, "--out", tmp_path / "r")
    assert words in done.err
    assert f"not whole: {words}" in done.out
