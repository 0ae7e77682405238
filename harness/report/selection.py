"""Which pairs a gallery shows: the extremes of each method and of each two, overall and per category."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest

import numpy as np


def in_turn(
    right: np.ndarray, total: np.ndarray, pair_ids: Sequence[str], categories: Sequence[str], depth: int
) -> list[int]:
    """Numbers of pairs, each once, those first that a gallery can least do without.

    There is a list for each of: best of a method, worst of a method, most different between two; over all pairs and within each
    category. The lists are dealt from in turn, one pair of each a round; those over all pairs and of the methods that come first go
    first, so that wherever the result is cut, every question has some answer. Ties go to the pair with more points, then by id.

    Args:
        right: (M, P) correct points of each method, NaN where it predicted nothing.
        total: (P) points.
        pair_ids: P ids.
        categories: P categories.
        depth: how many rounds.
    """
    share = right / total
    names = sorted(set(categories))
    whole = np.arange(len(pair_ids))
    parts = [
        whole,
        *(np.flatnonzero(np.array([one == name for one in categories])) for name in names if len(names) > 1),
    ]
    lists: list[list[int]] = []
    for everywhere in (True, False):
        for newest in range(len(right)):
            for part in parts[:1] if everywhere else parts[1:]:
                lists += [
                    _extremes(share[newest], total, pair_ids, part, depth, best=False),
                    _extremes(share[newest], total, pair_ids, part, depth, best=True),
                ]
                lists += [
                    _extremes(abs(share[newest] - share[other]), total, pair_ids, part, depth, best=True)
                    for other in range(newest)
                ]
    return list(dict.fromkeys(one for one in _dealt(lists)))


def _dealt(lists: Sequence[Sequence[int]]) -> Iterator[int]:
    for one_each in zip_longest(*lists):
        yield from (one for one in one_each if one is not None)


def _extremes(
    values: np.ndarray,
    total: np.ndarray,
    pair_ids: Sequence[str],
    among: np.ndarray,
    count: int,
    *,
    best: bool,
) -> list[int]:
    """The highest or lowest of some pairs' values; NaN is neither."""
    there = [int(one) for one in among if not np.isnan(values[one])]
    sign = -1 if best else 1
    return sorted(there, key=lambda one: (sign * values[one], -total[one], pair_ids[one]))[:count]
