"""Simulated shares of right keypoints whose true mean is known: images matter, and pairs, and categories.

A keypoint is right if a normal variable is above zero: the level of its category, what each image of the
pair adds, what the couple of images adds, and noise of its own with variance 1 (a probit model). So the true
share of a category is the normal distribution's of its level over the root of all variances.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from pair_graphs import FEWEST, MOST, Graph
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri, owens_t


@dataclass(frozen=True)
class Model:
    """What shares depend on.

    Attributes:
        pck: true share of right keypoints, where categories are alike.
        image_share: part of the variance of a pair's share that follows from each image that matters: the
            correlation of two pairs that have it in common.
        ends: images of a pair that matter: 0, the source alone, or both.
        couple: variance of what a couple of images adds, beside 1 of the keypoint.
        spread: standard deviation of the categories' levels.
    """

    pck: float = 0.5
    image_share: float = 0.0
    ends: int = 2
    couple: float = 0.0
    spread: float = 0.0

    @cached_property
    def image_variance(self) -> float:
        """Variance of what an image adds, beside 1 of the keypoint."""
        if not self.image_share or not self.ends:
            return 0.0

        def excess(variance: float) -> float:
            return _share_of(variance, self) - self.image_share

        return float(brentq(excess, 0, _MOST_VARIANCE))

    @property
    def total(self) -> float:
        """Variance of everything that is drawn."""
        return 1 + self.couple + self.ends * self.image_variance


_MOST_VARIANCE = 1.0
"""Beyond, the share falls again, since what the two images add together decides."""


def _share_of(variance: float, model: Model) -> float:
    """The part of the variance of a pair's share of right keypoints that follows from one image."""
    total = 1 + model.couple + model.ends * variance
    level = float(ndtri(model.pck))
    within = _both_right(level, (total - 1) / total) - model.pck**2
    keypoints = np.arange(FEWEST, MOST + 1)
    of_pair = within + ((model.pck - model.pck**2 - within) / keypoints).mean()
    return float((_both_right(level, variance / total) - model.pck**2) / of_pair)


def _both_right(level: float, correlation: float) -> float:
    """Probability that two standard normal variables are both below a level (Owen 1956)."""
    return float(ndtr(level) - 2 * owens_t(level, np.sqrt((1 - correlation) / (1 + correlation))))


class Simulated(NamedTuple):
    """Right keypoints of several methods on one graph in K repetitions.

    Attributes:
        right: for each method (P, K).
        truth: for each method (P,) the true share of a pair's category.
    """

    right: list[np.ndarray]
    truth: list[np.ndarray]


IN_COMMON = 0.7
"""Part of the variance of images and couples that methods have in common."""


def simulate(
    graph: Graph,
    model: Model,
    repetitions: int,
    random: np.random.Generator,
    levels: tuple[float, ...] = (0.0, 0.1),
) -> Simulated:
    """Simulates methods that find mostly the same images hard.

    Args:
        levels: of each method, added to that of the model.
    """
    right, truth = [], []
    for level, luck in zip(levels, simulate_luck(graph, model, repetitions, random, levels), strict=True):
        right.append(random.binomial(graph.keypoints[:, None], ndtr(luck.astype(np.float64))))
        truth.append(ndtr(_levels(graph, model, level) / np.sqrt(model.total)))
    return Simulated(right, truth)


def simulate_luck(
    graph: Graph, model: Model, repetitions: int, random: np.random.Generator, levels: tuple[float, ...]
) -> Iterator[np.ndarray]:
    """Yields for each method (P, K): a keypoint is right with the normal distribution's probability of it."""
    images = (int(graph.images.max()) + 1, repetitions)
    couples, of_couple = np.unique(np.sort(graph.images, axis=1), axis=0, return_inverse=True)
    common_image = random.standard_normal(images, dtype=np.float32)
    common_couple = random.standard_normal((len(couples), repetitions), dtype=np.float32)
    for level in levels:
        luck = np.repeat(_levels(graph, model, level)[:, None], repetitions, axis=1).astype(np.float32)
        if model.image_variance:
            image = np.sqrt(model.image_variance) * _blend(common_image, random)
            for end in range(model.ends):
                luck += image[graph.images[:, end]]
        if model.couple:
            luck += (np.sqrt(model.couple) * _blend(common_couple, random))[of_couple.reshape(-1)]
        yield luck


def _levels(graph: Graph, model: Model, level: float) -> np.ndarray:
    """(P,) of each pair's category."""
    kinds = int(graph.categories.max()) + 1
    # Fixed, in an order that has nothing to do with their sizes.
    steps = np.random.default_rng(0).permutation(ndtri((np.arange(kinds) + 0.5) / kinds))
    base = float(ndtri(model.pck)) * np.sqrt(model.total) + level
    levels: np.ndarray = (base + model.spread * steps)[graph.categories]
    return levels


def _blend(common: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """What a method has in common with others, and its own; of variance 1."""
    own = random.standard_normal(common.shape, dtype=np.float32)
    blended: np.ndarray = np.sqrt(IN_COMMON) * common + np.sqrt(1 - IN_COMMON) * own
    return blended
