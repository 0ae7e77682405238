"""Paired tests: McNemar's on keypoints, and Holm's correction for several tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def mcnemar(only_a: int, only_b: int) -> float:
    """Exact two-sided p-value of McNemar's test (1947).

    Under its hypothesis, discordant keypoints fall on either side like a fair coin. It takes keypoints as
    independent. Those of one pair are not, so p is too small as far as they agree.

    Args:
        only_a, only_b: keypoints that one of two runs alone got right.
    """
    from scipy.stats import binomtest

    discordant = only_a + only_b
    return float(binomtest(only_a, discordant).pvalue) if discordant else 1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusts p-values for their number, step down (Holm 1979, Scand. J. Statistics 6).

    Valid whatever the dependence between the tests.
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    # The smallest is multiplied by the number of tests, the next by one less; none gets below one before it.
    steps = p[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(steps))
    return [float(p_value) for p_value in adjusted]
