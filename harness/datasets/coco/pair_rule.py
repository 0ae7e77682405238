"""The rule that makes pairs of a COCO file: the same on every machine, and whatever the order of entries.

Of each picture and category the largest object takes part (by its box, then by the lowest id). The pictures
of a category stand in a circle, ordered by SHA-256 of seed, category and picture. Each is paired with its
next neighbour, then each with the one after, and so on, so that few pairs show many pictures. A pair counts
if enough key points are annotated in both.
"""

from __future__ import annotations

import hashlib
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from harness.datasets.coco.reading import CocoFile, Subject, id_order

Couple = tuple[Subject, Subject]
"""Source and target."""


@dataclass(frozen=True)
class PairRule:
    """What the user asks for.

    Attributes:
        per_category: pairs of each category.
        seed: another one makes other pairs.
        minimum_points: key points that both objects of a pair have.
    """

    per_category: int
    seed: int = 0
    minimum_points: int = 3


def choose_subjects(coco: CocoFile, minimum_points: int) -> dict[str, list[Subject]]:
    """Category -> one object of each picture, in the order of pictures; categories are sorted by name."""
    best: dict[tuple[str, str], Subject] = {}
    for subject in coco.subjects:
        if subject.is_crowd or len(subject.points) < minimum_points:
            continue
        key = (subject.category.name, subject.picture.picture_id)
        earlier = best.get(key)
        # Subjects come in the order of ids, so that of two as large the first one stays.
        if earlier is None or _area(subject) > _area(earlier):
            best[key] = subject
    chosen: dict[str, list[Subject]] = defaultdict(list)
    for category, picture in sorted(best, key=lambda key: (key[0], id_order(key[1]))):
        chosen[category].append(best[category, picture])
    return dict(chosen)


def _area(subject: Subject) -> float:
    """Area of an object's box; 0 where it has none."""
    if subject.box is None:
        return 0.0
    left, top, right, bottom = subject.box
    return (right - left) * (bottom - top)


def couples_of(subjects: Sequence[Subject], rule: PairRule) -> Iterator[Couple]:
    """Yields all pairs of a category, each once, in the order of the rule."""

    def place(subject: Subject) -> bytes:
        words = (str(rule.seed), subject.category.name, subject.picture.picture_id)
        return hashlib.sha256("\n".join(words).encode()).digest()

    circle = sorted(subjects, key=place)
    count = len(circle)
    for distance in range(1, count // 2 + 1):
        # Opposite places of an even circle meet twice.
        is_opposite = 2 * distance == count
        for start in range(distance if is_opposite else count):
            source, target = circle[start], circle[(start + distance) % count]
            if len(source.points.keys() & target.points.keys()) >= rule.minimum_points:
                yield source, target


def choose_pairs(subjects: Mapping[str, Sequence[Subject]], rule: PairRule) -> dict[str, list[Couple]]:
    """Category -> its first pairs, as many as the rule says or, where there are fewer, all."""
    most = min(rule.per_category, sys.maxsize)
    return {category: list(islice(couples_of(members, rule), most)) for category, members in subjects.items()}
