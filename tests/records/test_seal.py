"""An edited record is told from the one that was written; one that is only formatted otherwise is not."""

from __future__ import annotations

import json

import pytest
from support.made_up_records import a_record

from harness.errors import UserError
from harness.records.consistency import contradiction
from harness.records.folders import RECORD, read_record, write_record


@pytest.fixture
def path(tmp_path):
    record = a_record("mine")
    write_record(tmp_path / record.cell.id, record)
    return tmp_path / record.cell.id / RECORD


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content["scores"][0].update(pck=51.0),
        lambda content: content["scores"][0].update(low=None, high=None),
        lambda content: content["scores"].reverse(),
        lambda content: content["cell"].update(label="theirs"),
        lambda content: content["cell"].update(params={"block": 9}),
        lambda content: content["cell"].pop("notes"),
        lambda content: content.update(sealed="0" * 64),
    ],
)
def test_every_change_is_told(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(UserError) as told:
        read_record(path)
    assert str(told.value) == (
        f"{path}: was changed after 'bench' wrote it; remove this file and run the cell again, its "
        "predictions are kept"
    )


def test_a_record_that_another_program_formats_is_the_same(path):
    before = read_record(path)
    content = json.loads(path.read_text())
    content["scores"][0]["pck"] = 50
    path.write_text(json.dumps(content, sort_keys=True, indent=8))
    assert read_record(path) == before


def test_a_record_of_an_earlier_version_has_no_seal(path):
    content = json.loads(path.read_text())
    del content["sealed"]
    path.write_text(json.dumps(content))
    record = read_record(path)
    # A record that is read and written again is sealed anew, whatever seal it had.
    write_record(path.parent, record.model_copy(update={"sealed": "0" * 64}))
    assert read_record(path).sealed


def with_scores(**changes):
    """A record of 4 pairs of robins with 8 points and 6 of wrens with 42, as an earlier version wrote it.

    Args:
        changes: slice -> its PCK per image and per point.
    """
    record = a_record("mine", alphas=(0.1,))
    sizes = {"all": (10, 50), "category=robin": (4, 8), "category=wren": (6, 42)}
    numbers = {"all": (50.0, 29.0), "category=robin": (80.0, 50.0), "category=wren": (30.0, 25.0)}
    numbers |= {name.replace("category_", "category="): value for name, value in changes.items()}
    templates = {score.averaging: score for score in record.scores}
    scores = []
    for name, (pairs, keypoints) in sizes.items():
        for averaging, pck in zip(("image", "point"), numbers[name], strict=True):
            values = {"slice": name, "pck": pck, "pairs": pairs, "keypoints": keypoints, "images": None}
            scores.append(templates[averaging].model_copy(update=values))
    return record.model_copy(update={"scores": scores})


def test_numbers_of_all_pairs_are_the_means_of_categories():
    assert contradiction(with_scores()) == ""
    assert contradiction(with_scores(all=(99.0, 29.0))) == (
        "score of argmax, sd4match, @0.1, all: 99 (averaging image), and the mean of its categories is 50"
    )
    assert contradiction(with_scores(all=(50.0, 29.01))).endswith(
        "29.01 (averaging point), and the mean of its categories is 29"
    )
    assert "(averaging image)" in contradiction(with_scores(category_wren=(31.0, 25.0)))


def test_categories_weigh_alike_in_means_over_categories():
    """Of 80 and 30 percent in 4 and 6 pairs, 50 and 25 in 8 and 42 points: 55 and 37.5, not 50 and 29."""
    record = with_scores()

    def with_means(**numbers):
        scores = list(record.scores)
        for score in record.scores:
            mean = numbers[score.averaging]
            values = {"averaging": f"category-{score.averaging}"}
            values["pck"] = mean if score.slice == "all" else score.pck
            scores.append(score.model_copy(update=values))
        return record.model_copy(update={"scores": scores})

    assert contradiction(with_means(image=55.0, point=37.5)) == ""
    assert contradiction(with_means(image=50.0, point=37.5)).endswith(
        "all: 50 (averaging category-image), and the mean of its categories is 55"
    )
    assert contradiction(with_means(image=55.0, point=29.0)).endswith(
        "all: 29 (averaging category-point), and the mean of its categories is 37.5"
    )


def test_pairs_without_a_category_leave_the_mean_open():
    record = with_scores(all=(99.0, 29.0))
    scores = [score for score in record.scores if score.slice != "category=wren"]
    assert contradiction(record.model_copy(update={"scores": scores})) == ""
