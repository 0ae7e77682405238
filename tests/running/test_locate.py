"""Predictions that are fetched together."""

from __future__ import annotations

import pytest
import torch

from harness.errors import ExtractionError
from harness.frames import Frame, Size
from harness.running.locate import BATCH_PAIRS, Queue, fetch_results, launch, locate_points
from harness.specs import FeatureMap, Located

FRAME = Frame.stretched(Size(60, 48), Size(48, 48))

A, B = (FeatureMap(torch.rand(channels, 4, 4), FRAME) for channels in (3, 2))


def results(*counts):
    return [Located(torch.rand(count, 2).double() + count, torch.rand(count).double()) for count in counts]


def test_each_gets_its_own_back():
    given = results(3, 1, 0, 5)
    for one, other in zip(given, fetch_results(given), strict=True):
        assert torch.equal(one.points, other.points)
        assert torch.equal(one.score, other.score)
    assert fetch_results([]) == []


def test_one_that_is_not_finite_fails_alone():
    given = results(2, 3, 4)
    given[1].points[2, 0] = float("nan")
    given[2].score[0] = float("inf")
    first, second, third = fetch_results(given)
    assert torch.equal(first.points, given[0].points)
    assert str(second) == str(third) == "a prediction is NaN or infinite"


def test_one_that_cannot_be_fetched_fails_alone():
    """Tensors on `meta` have no values: PyTorch refuses to copy them."""
    given = results(2, 3)
    given.insert(1, Located(torch.empty(4, 2, device="meta"), torch.empty(4, device="meta")))
    first, second, third = fetch_results(given)
    assert isinstance(second, NotImplementedError)
    assert torch.equal(first.points, given[0].points)
    assert torch.equal(third.score, given[2].score)


def test_what_a_localizer_returns_is_checked_before_anyone_waits_for_it():
    points = torch.zeros(3, 2)

    def error(localizer, target=A):
        (found,) = launch(localizer, [(A, target, points)])
        assert isinstance(found, ExtractionError)
        return str(found)

    assert error(lambda *task: Located(points[:2], torch.zeros(3))).startswith(
        "expected points (3, 2) and as many scores, got (2, 2)"
    )
    assert error(lambda *task: None, B) == "the source map has 3 channels and the target map 2"
    with pytest.raises(ExtractionError, match="NaN"):
        locate_points(lambda source, target, points: Located(points / 0, torch.zeros(3)), (A, A, points))


class Many:
    """Predicts the points themselves; notes how many pairs came together."""

    def __init__(self):
        self.calls = []

    def __call__(self, source, target, points):
        raise AssertionError("pairs come together")

    def many(self, tasks):
        self.calls.append(len(tasks))
        if any((points < 0).any() for _, _, points in tasks):
            raise ValueError("no such pixel")
        return [Located(points, points[:, 0]) for _, _, points in tasks]


def fetched_in_turn(localizer, tasks):
    queue = Queue()
    for number, task in enumerate(tasks):
        queue.add(str(number), "name", localizer, task)
    found = queue.fetch()
    assert [(pair, name) for pair, name, _ in found] == [
        (str(number), "name") for number in range(len(tasks))
    ]
    assert queue.fetch() == []
    return [result for _, _, result in found]


def tasks(count):
    return [(A, A, torch.rand(number % 4 + 1, 2).double()) for number in range(count)]


def test_a_localizer_that_takes_many_pairs_gets_them_together():
    localizer, given = Many(), tasks(2 * BATCH_PAIRS + 3)
    for (_, _, points), found in zip(given, fetched_in_turn(localizer, given), strict=True):
        assert torch.equal(found.points, points)
    assert localizer.calls == [BATCH_PAIRS, BATCH_PAIRS, 3]


def test_a_pair_that_cannot_be_located_fails_alone_among_many():
    given = tasks(4)
    given[1] = (A, A, torch.tensor([[-1.0, 0.0]]).double())
    given[3] = (A, B, torch.zeros(1, 2).double())
    first, second, third, fourth = fetched_in_turn(Many(), given)
    assert torch.equal(first.points, given[0][2])
    assert torch.equal(third.points, given[2][2])
    assert (repr(second), str(fourth)) == (
        "ValueError('no such pixel')",
        "the source map has 3 channels and the target map 2",
    )


def test_too_few_results_for_many_are_no_results():
    localizer = Many()
    localizer.many = lambda tasks: []
    assert [str(one) for one in fetched_in_turn(localizer, tasks(2))] == [
        "expected predictions of 1 pairs, got 0"
    ] * 2


def test_other_localizers_get_pairs_one_by_one():
    seen = []
    given = tasks(3)
    found = fetched_in_turn(lambda *task: seen.append(task) or Located(task[2], task[2][:, 1]), given)
    assert [task[2] is points for task, (_, _, points) in zip(seen, given, strict=True)] == [True] * 3
    assert torch.equal(found[2].score, given[2][2][:, 1])
