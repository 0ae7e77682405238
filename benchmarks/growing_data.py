"""Makes lists of pairs of SPair-71k's shape, and parts and multiples of it, for costs that grow."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from pair_graphs import FEWEST, MOST, SPAIR_71K, Graph

PICTURES = 100
"""SPair-71k has 1,800 pictures in 18 categories. Its test list takes some 27 of each; with all of them, a
picture is in few pairs, so that more is new."""


def spair_shaped(share: Fraction, keypoints: int | None = None) -> Graph:
    """Pairs and pictures in proportion, of 18 categories.

    Args:
        share: of SPair-71k's 12,234 test pairs and 1,800 pictures; a small one gets as many pictures as have
            so many ordered couples.
        keypoints: of every pair; 3 to 15 at random by default.
    """
    random = np.random.default_rng(3)
    pairs: list[tuple[int, int]] = []
    categories: list[int] = []
    first = 0
    for category, whole in enumerate(SPAIR_71K):
        count = max(1, round(whole * share))
        images = round(PICTURES * share)
        while images * (images - 1) < count:
            images += 1
        for couple in random.permutation(images * (images - 1))[:count].tolist():
            # All but itself can be the target.
            source, other = divmod(couple, images - 1)
            pairs.append((first + source, first + other + (other >= source)))
        categories += [category] * count
        first += images
    if keypoints is None:
        counts = random.integers(FEWEST, MOST + 1, len(pairs))
    else:
        counts = np.full(len(pairs), keypoints)
    return Graph(f"SPair-71k x {share}", np.array(pairs), np.array(categories), counts)
