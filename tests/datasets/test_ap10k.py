"""AP-10K: one list of pairs on every machine, by the published sizes and limits; the reader of it."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from support.animals import SPECIES, animal_files, make_animals, write_animals

from harness.datasets.ap10k.annotations import FILES, read_animals
from harness.datasets.ap10k.dataset import AP10K, SPEC
from harness.datasets.ap10k.keypoints import NAMES, PARTNERS, SYMMETRIC
from harness.datasets.ap10k.pair_list import NAME, prepare
from harness.datasets.splits import read_split
from harness.errors import UserError
from harness.specs import DatasetSpec

PICTURES = {"cat": 70, "lion": 40, "dog": 35, "fox": 8, "panda": 52}

SMALL = {"cat": 5, "lion": 3, "dog": 4}

PINNED = "e62b283e5c9332ae239a85464a3eb242d6fce46fad0650e5d50d68e5aee9553a"
"""Hash of the pairs of PICTURES: another one means another rule, which needs another number."""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    folder = write_animals(tmp_path_factory.mktemp("ap-10k"), animal_files(PICTURES))
    prepare(folder)
    return folder


def splits_of(folder: Path) -> dict[str, dict[str, list[str]]]:
    return json.loads((folder / NAME).read_text())["splits"]


def members(pairs: dict[str, list[str]], category: str) -> set[str]:
    return {picture for name in pairs.get(category, []) for picture in name.split("-")}


# The rule


def test_the_list_is_the_same_whatever_the_order_of_files_and_entries(prepared, tmp_path, monkeypatch):
    listing = os.listdir

    def reversed_listing(*arguments):
        return sorted(listing(*arguments), reverse=True)

    monkeypatch.setattr(os, "listdir", reversed_listing)
    for shuffle in (1, 2):
        folder = write_animals(tmp_path / str(shuffle), animal_files(PICTURES), shuffle)
        prepare(folder)
        assert (folder / NAME).read_bytes() == (prepared / NAME).read_bytes()


def test_the_rule_is_pinned(prepared):
    assert json.loads((prepared / NAME).read_text())["sha256"] == PINNED


def test_parts_have_the_published_sizes(prepared):
    animals, splits = read_animals(prepared), splits_of(prepared)
    usable = Counter(animal.species for animal in animals.values())
    assert sum(usable.values()) > 190
    for species, count in usable.items():
        parts = {part: members(splits[part], species) for part in ("test", "val", "train")}
        # A picture that shares three points with no other is in no pair.
        assert 0.9 * min(count, 30) <= len(parts["test"]) <= 30
        assert len(parts["val"]) <= min(20, max(0, count - 30))
        assert len(parts["train"]) <= max(0, count - 50)
        assert not any(first & second for first, second in combinations(parts.values(), 2))
    assert len(members(splits["val"], "cat")) == 20
    assert len(members(splits["train"], "cat")) > 15


def test_pairs_within_a_species_are_all_those_with_three_common_points(prepared):
    animals, splits = read_animals(prepared), splits_of(prepared)
    foxes = [animal for animal in animals.values() if animal.species == "fox"]
    expected = {
        frozenset((one.picture, two.picture))
        for one, two in combinations(foxes, 2)
        if len(one.points.keys() & two.points.keys()) >= 3
    }
    listed = [frozenset(name.split("-")) for name in splits["test"]["fox"]]
    assert set(listed) == expected
    assert len(listed) == len(expected)
    # Neither side is always the lower number.
    sides = {int(name.split("-")[0]) < int(name.split("-")[1]) for name in splits["test"]["fox"]}
    assert sides == {True, False}


def test_pairs_across_are_of_two_species_or_families_and_limited(prepared):
    animals, splits = read_animals(prepared), splits_of(prepared)
    for part, per_family, per_couple in (("test", 900, 30), ("val", 400, 20)):
        across = splits[f"{part}-cross-species"]
        assert set(across) <= {"Felidae", "Canidae"}
        for family, names in across.items():
            assert len(names) == len(set(names)) <= per_family
            for name in names:
                one, two = (animals[picture] for picture in name.split("-"))
                assert one.species != two.species
                assert (one.family, two.family) == (family, family)
                assert len(one.points.keys() & two.points.keys()) >= 3
        couples = Counter(
            frozenset(animals[picture].family for picture in name.split("-"))
            for name in splits[f"{part}-cross-family"]["all"]
        )
        assert all(len(couple) == 2 for couple in couples)
        assert max(couples.values()) == per_couple
    assert len(splits["test-cross-species"]["Felidae"]) > 800


def test_training_pairs_are_capped(tmp_path, monkeypatch):
    monkeypatch.setattr("harness.datasets.ap10k.pair_rule.TRAIN_PAIRS", 2)
    folder = write_animals(tmp_path, animal_files({"cat": 70}))
    prepare(folder)
    count = sum(animal.species == "cat" for animal in read_animals(folder).values())
    assert len(splits_of(folder)["train"]["cat"]) == 2 * (count - 50)


def test_pictures_with_several_animals_a_crowd_or_few_points_are_left_out(tmp_path):
    contents = animal_files(SMALL)
    before = read_animals(write_animals(tmp_path / "before", contents))
    entries = [entry for content in contents.values() for entry in content["annotations"]]
    several, crowd, few, stated = entries[:4]
    holder = next(content for content in contents.values() if several in content["annotations"])
    holder["annotations"].append({**several, "id": 5000})
    crowd["iscrowd"] = 1
    few["keypoints"][2::3] = [2, 2] + [0] * 15
    stated["num_keypoints"] = 2
    left = read_animals(write_animals(tmp_path / "after", contents))
    assert set(before) - set(left) == {str(entry["image_id"]) for entry in entries[:4]}


# The reader


@pytest.fixture
def data(tmp_path) -> Path:
    folder = make_animals(tmp_path / "data" / "ap-10k", SMALL)
    return folder.parent


def test_a_pair_is_read_as_it_is_annotated(bench, data):
    done = bench("data", "prepare", "ap-10k", "--data-root", data)
    assert done.status == 0
    content = json.loads((data / "ap-10k" / NAME).read_text())
    assert f"sha256 of the pairs {content['sha256']}" in done.out
    index = read_split(SPEC, data / "ap-10k", "test")
    assert not index.broken
    assert index.notes == (f"pairs of the list {content['sha256']}, made by rule 1",)
    pair = index.pairs[index.pair_ids[0]]
    assert (pair.category, pair.source_box) == ("cat", (2, 3, 42, 41))
    source = next(
        entry
        for name in FILES
        for entry in json.loads((data / "ap-10k" / name).read_text())["annotations"]
        if f"{entry['image_id']:012d}" == pair.pair_id[:12]
    )
    points = np.array(source["keypoints"]).reshape(-1, 3)
    assert pair.source_keypoints == tuple(
        name for name, seen in zip(NAMES, points[:, 2], strict=True) if seen
    )
    rows = [NAMES.index(name) for name in pair.keypoint_ids]
    assert pair.source_points.tolist() == points[rows, :2].tolist()
    assert set(pair.keypoint_ids) == set(pair.source_keypoints) & set(pair.target_keypoints)


def test_a_run_on_each_part_names_the_list(bench, data, tmp_path):
    bench("data", "prepare", "ap-10k", "--data-root", data)
    digest = json.loads((data / "ap-10k" / NAME).read_text())["sha256"]
    words = ("run", "--methods", "position", "--datasets", "ap-10k", "--data-root", data)
    manifests = set()
    for split in ("test", "test-cross-species", "test-cross-family"):
        done = bench(*words, "--split", split, "--out", tmp_path / split)
        assert done.status == 0, done.err
        assert digest in done.err
        (record,) = (tmp_path / split).glob("*/record.json")
        provenance = json.loads(record.read_text())["provenance"]
        manifests.add(provenance["manifest"])
        assert provenance["facts"]["pairs_sha256"] == digest
        assert provenance["facts"].keys() == {"pairs_sha256", "pairs_rule", "annotations_sha256"}
    assert len(manifests) == 3
    # A model card says which list its number is of.
    out = bench("leaderboard", tmp_path / "test", "--format", "eval-results", "-o", tmp_path / "cards").out
    cards = "".join(path.read_text() for path in (tmp_path / "cards").iterdir())
    assert digest in cards, out


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"list": 3}, "made test: the fact 'list' is"),
        ({"": "x"}, "the name of a fact is empty"),
        ({"list": "a\nb"}, "U\\+000A"),
    ],
)
def test_a_fact_that_no_record_can_hold_is_one_line(facts, message, data):
    prepare(data / "ap-10k")

    class Made(AP10K):
        pass

    Made.facts = facts
    spec = DatasetSpec(name="made", open=Made)
    with pytest.raises(UserError, match=message):
        read_split(spec, data / "ap-10k", "test")


def test_prepare_says_which_pictures_are_not_there(bench, data):
    (gone,) = (data / "ap-10k" / "data").glob("*01.jpg")
    gone.unlink()
    done = bench("data", "prepare", "ap-10k", "--data-root", data)
    assert done.status == 0
    assert f"1 of 12 pictures are not there, the first {gone}; unpack ap-10k.zip" in done.out


def test_the_command_that_makes_the_list_can_be_pasted(bench, data, tmp_path):
    place = shutil.move(data / "ap-10k", tmp_path / "it's here")
    done = bench("run", "--methods", "position", "--datasets", f"ap-10k={place}", "--out", tmp_path / "out")
    assert done.status == 2
    command = re.search("'(bench data prepare .*)' makes it", done.complaint).group(1)
    words = shlex.split(command)
    assert words[-1] == f"ap-10k={place}"
    assert bench(*words[1:]).status == 0


def test_symmetric_points_are_partners():
    assert len(SYMMETRIC) == 7
    assert {*PARTNERS} == set(NAMES) - {"nose", "neck", "root_of_tail"}
    assert all(PARTNERS[PARTNERS[name]] == name for name in PARTNERS)
    assert set(SPECIES.values()) <= set(SPEC.prompt_names)


def test_where_files_or_pairs_are_missing_the_next_step_is_said(bench, data, tmp_path):
    run = ("run", "--methods", "position", "--datasets", "ap-10k", "--out", tmp_path / "out", "--data-root")
    lines = {
        (*run, tmp_path): ("ap10k-train-split1.json is not there", "unpack ap-10k.zip"),
        (*run, data): ("bench-pairs.json is not there", "bench data prepare ap-10k="),
        ("data", "fetch", "ap-10k"): ("cannot be downloaded", "bench data prepare ap-10k"),
        ("data", "prepare", "ap-10k", "--data-root", tmp_path): ("is not there", "unpack ap-10k.zip"),
        ("data", "prepare", "shapes"): ("is not prepared", "ap-10k"),
    }
    for words, texts in lines.items():
        done = bench(*words)
        assert done.status == 2, words
        assert all(text in done.complaint for text in texts), done.complaint


def test_a_list_of_other_annotations_or_other_pairs_is_refused(bench, data):
    bench("data", "prepare", "ap-10k", "--data-root", data)
    folder = data / "ap-10k"
    whole = (folder / NAME).read_text()
    content = json.loads(whole)
    content["splits"]["test"]["cat"].pop()
    (folder / NAME).write_text(json.dumps(content))
    with pytest.raises(UserError, match="not those that it was written with"):
        read_split(SPEC, folder, "test")
    (folder / NAME).write_text(whole.replace('"rule": 1', '"rule": 7'))
    with pytest.raises(UserError, match="made by rule 7"):
        read_split(SPEC, folder, "test")
    for text in ("{", "[]", "{}"):
        (folder / NAME).write_text(text)
        with pytest.raises(UserError, match=f"{NAME}.*makes it anew"):
            read_split(SPEC, folder, "test")
    (folder / NAME).write_text(whole)
    contents = animal_files(SMALL)
    next(content for content in contents.values() if content["annotations"])["annotations"][0]["bbox"] = [
        *(1, 1, 9, 9)
    ]
    write_animals(folder, contents)
    with pytest.raises(UserError, match="made of other annotations"):
        read_split(SPEC, folder, "test")


FAULTS = {
    "another order": (lambda content: content["categories"][0]["keypoints"].reverse(), "key point 1 is"),
    "fewer points": (lambda content: content["categories"][0]["keypoints"].pop(), "names 16 key points"),
    "no family": (lambda content: content["categories"][0].pop("supercategory"), "no supercategory"),
    "no box": (lambda content: content["annotations"][0].pop("bbox"), "has no bbox"),
    "another family": (
        lambda content: content.update(
            categories=[{**each, "supercategory": "Canidae"} for each in content["categories"]]
        ),
        "category 'cat' is of",
    ),
    "an id of two words": (
        lambda content: (
            content["images"][0].update(id="1-2"),
            content["annotations"][0].update(image_id="1-2"),
        ),
        "picture id '1-2' is not a whole number",
    ),
    "another picture": (
        lambda content: content["images"].extend(
            {"id": number, "file_name": "other.jpg", "width": 60, "height": 48}
            for number in set(range(1, 13)) - {each["id"] for each in content["images"]}
        ),
        "is another one than in another file",
    ),
    "a size beyond any picture": (
        lambda content: content["images"][0].update(width=1e300),
        "width and height must be",
    ),
    "no size": (lambda content: content["images"][0].update(width=None, height=None), "has no width"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_annotations_that_are_not_official_are_refused(fault, bench, tmp_path):
    contents = animal_files(SMALL)
    change, message = FAULTS[fault]
    for content in contents.values():
        # Categories are one list in all three files.
        if content["annotations"]:
            change(content)
            break
    write_animals(tmp_path / "ap-10k", contents)
    done = bench("data", "prepare", "ap-10k", "--data-root", tmp_path)
    assert done.status == 2
    assert message in done.complaint
