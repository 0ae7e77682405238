"""Pictures that pairs share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.datasets.images import MIRRORED
from harness.datasets.splits import SplitIndex
from harness.frames import Size
from harness.scoring.correctness import image_numbers
from harness.scoring.truth import truth_of
from harness.specs import ImagePair


@dataclass(frozen=True)
class Picture:
    content: str

    def identity(self) -> str:
        return self.content


def a_pair(name: str, source: str, target: str) -> ImagePair:
    points = np.zeros((1, 2))
    return ImagePair(
        name, Picture(source), Picture(target), Size(1, 1), Size(1, 1), "cat", points, points, ("eye",)
    )  # type: ignore[arg-type]


def test_a_picture_and_its_mirror_image_are_one_whatever_their_role():
    pairs = {
        name: a_pair(name, *both)
        for name, both in {"1": ("a", "b"), "2": ("b" + MIRRORED, "c"), "3": ("c", "a" + MIRRORED)}.items()
    }
    index = SplitIndex("cats", "test", tuple(pairs), pairs, {}, "box")
    (a, b), (b_again, c), (c_again, a_again) = image_numbers(truth_of(index), ["1", "2", "3"])
    assert (a, b, c) == (a_again, b_again, c_again)
    assert len({a, b, c}) == 3
