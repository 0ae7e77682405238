"""Pairs as clusters: what images, and couples of images, add up to; and the variances that follow.

A *dyad* is a couple of images with all pairs of the two, in whichever role. Within each stratum, a category
say, images and dyads are *units*: a ratio of one stratum follows the units in it alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import scipy.sparse


class Variances(NamedTuple):
    """Variances of K estimates, (K,) each."""

    twice: np.ndarray
    """Of images' sums, in which each pair's own part counts for both of its images."""
    independent: np.ndarray
    """Of dyads, as if they were independent."""
    robust: np.ndarray
    """Dyadic cluster-robust."""
    image_freedom: np.ndarray
    """Degrees of freedom of a variance over images."""
    dyad_freedom: np.ndarray


LEAST_LEFT = 0.1
"""Least share of the variance that residuals may have left for it to be scaled up."""


@dataclass(frozen=True, eq=False)
class Dyads:
    """P pairs in S strata.

    Attributes:
        by_stratum: (S, P) matrix that adds up the pairs of each stratum.
        image_units: (units, P) matrix that adds up the pairs of each image in each stratum.
        image_strata: (units,) stratum of each.
        images: (images, units) matrix that adds up the units of an image.
        dyad_units, dyad_strata, dyads: likewise.
        is_mixed: (dyads,) bool: dyads of two different images.
    """

    by_stratum: scipy.sparse.csr_array
    image_units: scipy.sparse.csr_array
    image_strata: np.ndarray
    images: scipy.sparse.csr_array
    dyad_units: scipy.sparse.csr_array
    dyad_strata: np.ndarray
    dyads: scipy.sparse.csr_array
    is_mixed: np.ndarray

    @classmethod
    def of(cls, images: np.ndarray, strata: np.ndarray, count: int) -> Dyads:
        """Makes the clusters of pairs.

        Args:
            images: (P, 2) numbers of the source and the target image, from 0.
            strata: (P,) number of each pair's stratum, below `count`.
        """
        rows = np.arange(len(images))
        is_mixed = images[:, 0] != images[:, 1]
        # A pair of an image with itself counts once for that image.
        pair_rows = np.concatenate([rows, rows[is_mixed]])
        pair_images = np.concatenate([images[:, 0], images[is_mixed, 1]])
        couples, of_pair = np.unique(np.sort(images, axis=1), axis=0, return_inverse=True)
        image_units, image_strata, of_image = _units(pair_rows, pair_images, strata)
        dyad_units, dyad_strata, of_dyad = _units(rows, of_pair.reshape(-1), strata)
        return cls(
            _adding(rows, strata, count),
            image_units,
            image_strata,
            of_image,
            dyad_units,
            dyad_strata,
            of_dyad,
            couples[:, 0] != couples[:, 1],
        )

    def image_counts(self, denominators: np.ndarray) -> np.ndarray:
        """(K,) images that have a pair in each column."""
        inside = (denominators > 0).astype(np.float64)
        counts: np.ndarray = (self.images @ (self.image_units @ inside) > 0).sum(axis=0)
        return counts

    def dyad_counts(self, denominators: np.ndarray) -> np.ndarray:
        """(S, K) dyads of each stratum that have a pair in each column."""
        return self._counts(self.dyad_units, self.dyad_strata, denominators)

    def sums(self, parts: np.ndarray, denominators: np.ndarray) -> Sums:
        """Adds up what pairs add to K estimates.

        Args:
            parts, denominators: (P, K).
        """
        bottom = self.by_stratum @ denominators
        safe_bottom = np.where(bottom > 0, bottom, 1)
        of_images = (self.image_units @ denominators) / safe_bottom[self.image_strata]
        of_dyads = (self.dyad_units @ denominators) / safe_bottom[self.dyad_strata]
        left = self._share_left(of_images, of_dyads)
        is_narrow = left < LEAST_LEFT
        growth = 1 / np.sqrt(np.where(is_narrow, 1, left))
        raw = self.dyad_units @ parts
        return Sums(
            (self.image_units @ parts) * growth[self.image_strata],
            raw / _leverage(of_dyads),
            raw * growth[self.dyad_strata],
            is_narrow & (bottom > 0),
            self._counts(self.image_units, self.image_strata, denominators),
            self.dyad_counts(denominators),
        )

    def _share_left(self, of_images: np.ndarray, of_dyads: np.ndarray) -> np.ndarray:
        """(S, K) what the dyadic variance of residuals is of that of errors, since the mean follows them.

        Exact for independent pairs, each with a variance that is proportional to its weight, and for n images
        that all are in pairs with one another: (n - 2) (n - 3) / n / (n - 1). A correction of each image's
        sum (Bell and McCaffrey 2002) overlooks that the mean follows the pairs' other images, too: what
        images add would be 8 % too small a variance for 27 of them, 22 % for ten.

        Args:
            of_images, of_dyads: (units, K) what part of its stratum's denominator each has.
        """
        count = self.by_stratum.shape[0]
        mixed = of_dyads * (self.dyads.T @ self.is_mixed.astype(np.float64))[:, None]
        squares = _add_up(of_images**2, self.image_strata, count) - _add_up(mixed**2, self.dyad_strata, count)
        left: np.ndarray = 1 - squares
        return left

    def _counts(
        self, units: scipy.sparse.csr_array, strata: np.ndarray, denominators: np.ndarray
    ) -> np.ndarray:
        inside = units @ (denominators > 0).astype(np.float64) > 0
        return _add_up(inside.astype(np.float64), strata, self.by_stratum.shape[0])


class Sums(NamedTuple):
    """What units add to K estimates, (units, K), and their numbers, (S, K)."""

    image_units: np.ndarray
    dyad_units: np.ndarray
    own_units: np.ndarray
    """What dyads add to their images' units, grown as these are."""
    is_narrow: np.ndarray
    """(S, K) bool: strata of so few images that nothing is left of what they differ in."""
    image_counts: np.ndarray
    dyad_counts: np.ndarray

    def contrast(self, weights: np.ndarray) -> Sums:
        """The sums of weighted sums, (K, L), of estimates on the same pairs."""
        used = (weights != 0).astype(np.float64)
        used = used / used.sum(axis=0)
        return Sums(
            self.image_units @ weights,
            self.dyad_units @ weights,
            self.own_units @ weights,
            self.is_narrow.astype(np.float64) @ used > 0,
            self.image_counts @ used,
            self.dyad_counts @ used,
        )

    def of_image(self, dyads: Dyads) -> np.ndarray:
        """(images, K)"""
        by_image: np.ndarray = dyads.images @ self.image_units
        return by_image

    def of_dyad(self, dyads: Dyads) -> np.ndarray:
        """(dyads, K)"""
        by_dyad: np.ndarray = dyads.dyads @ self.dyad_units
        return by_dyad

    def _lost(self, dyads: Dyads) -> np.ndarray:
        """(K,) what narrow strata have of the variance over dyads, and not of that over images."""
        if not self.is_narrow.any():
            return np.zeros(self.image_units.shape[1])
        count = len(self.is_narrow)
        is_mixed = (dyads.dyads.T @ dyads.is_mixed.astype(np.float64))[:, None]
        own = _add_up((self.own_units * is_mixed) ** 2, dyads.dyad_strata, count)
        over_images = _add_up(self.image_units**2, dyads.image_strata, count) - own
        over_dyads = _add_up(self.dyad_units**2, dyads.dyad_strata, count)
        lost: np.ndarray = (np.maximum(over_dyads - over_images, 0) * self.is_narrow).sum(axis=0)
        return lost

    def variances(self, dyads: Dyads) -> Variances:
        """Variances of the estimates over images and over dyads."""
        twice = (self.of_image(dyads) ** 2).sum(axis=0)
        independent = (self.of_dyad(dyads) ** 2).sum(axis=0)
        # Pairs' own part was counted for both images: one of them is taken off.
        own = (((dyads.dyads @ self.own_units) * dyads.is_mixed[:, None]) ** 2).sum(axis=0)
        return Variances(
            twice,
            independent,
            twice - own + self._lost(dyads),
            _freedom(self.image_units, dyads.image_strata, self.image_counts),
            _freedom(self.dyad_units, dyads.dyad_strata, self.dyad_counts),
        )


def _units(
    rows: np.ndarray, clusters: np.ndarray, strata: np.ndarray
) -> tuple[scipy.sparse.csr_array, np.ndarray, scipy.sparse.csr_array]:
    """Units of clusters within strata: (units, P) and (clusters, units) matrices, and the units' strata.

    Args:
        rows, clusters: number of a pair, and of a cluster that it is in.
        strata: (P,)
    """
    keys = np.stack([clusters, strata[rows]], axis=1)
    units, unit_of_row = np.unique(keys, axis=0, return_inverse=True)
    to_units = _adding(rows, unit_of_row.reshape(-1), len(units), len(strata))
    to_clusters = _adding(np.arange(len(units)), units[:, 0], int(clusters.max()) + 1)
    return to_units, units[:, 1], to_clusters


def _adding(
    rows: np.ndarray, clusters: np.ndarray, count: int, width: int | None = None
) -> scipy.sparse.csr_array:
    """Returns a (count, width) matrix that adds up the rows of each cluster."""
    import scipy.sparse

    shape = (count, width if width is not None else len(rows))
    return scipy.sparse.csr_array((np.ones(len(rows)), (clusters, rows)), shape=shape)


def _add_up(values: np.ndarray, strata: np.ndarray, count: int) -> np.ndarray:
    """Returns (count, K) sums of the units of each stratum."""
    sums: np.ndarray = _adding(np.arange(len(strata)), strata, count) @ values
    return sums


def _leverage(parts: np.ndarray) -> np.ndarray:
    """The factor by which residuals of clusters are too small, as the mean follows the clusters.

    CR2 of Bell and McCaffrey (2002), one regressor.

    Args:
        parts: what part of its stratum's denominator each cluster has.
    """
    root: np.ndarray = np.sqrt(np.maximum(1 - parts, 0))
    # All pairs are this cluster: its sum is zero whatever it is divided by.
    return np.where(root > 1e-9, root, 1)


def _freedom(units: np.ndarray, strata: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Degrees of freedom of a variance that is added up over strata (Satterthwaite 1946)."""
    of_stratum = _add_up(units**2, strata, len(counts))
    # One cluster has no degree of freedom; its column is NaN in the end, and needs a number until then.
    freedom = np.maximum(counts - 1, 1)
    total = of_stratum.sum(axis=0)
    uncertainty = (of_stratum**2 / freedom).sum(axis=0)
    has_spread = uncertainty > 0
    known = total**2 / np.where(has_spread, uncertainty, 1)
    return np.asarray(np.where(has_spread, known, freedom.sum(axis=0)))
