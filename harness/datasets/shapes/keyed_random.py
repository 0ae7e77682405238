"""Random numbers that are the same on every machine and with every version of numpy."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np

VERSION = 1
"""Version of the generator, a part of every seed and identity.

Raise it with every change that moves a point or a pixel.
"""

Item = TypeVar("Item")

_BLOCK = 128


class KeyedRandom:
    """A stream of random numbers, named by its key: streams of different keys are independent.

    Only plain uniform numbers are taken from numpy: those of `PCG64` are promised to stay as they are, the
    distributions of `numpy.random.Generator` are not.
    """

    def __init__(self, *key: str | int) -> None:
        name = "\x1f".join(map(str, (VERSION, *key)))
        digest = hashlib.sha256(name.encode()).digest()
        seed = np.random.SeedSequence(int.from_bytes(digest[:16], "little"))
        self._generator = np.random.Generator(np.random.PCG64(seed))
        self._numbers = self._stream()

    def _stream(self) -> Iterator[float]:
        while True:
            yield from self._generator.random(_BLOCK).tolist()

    def uniform(self, low: float, high: float) -> float:
        """A number between `low` and `high`."""
        return low + (high - low) * next(self._numbers)

    def around(self, mean: float, spread: float) -> float:
        """A bell-shaped number: standard deviation `spread`, at most three of them away from `mean`."""
        return mean + spread * 2 * (next(self._numbers) + next(self._numbers) + next(self._numbers) - 1.5)

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return next(self._numbers) < probability

    def integer(self, low: int, high: int) -> int:
        """A whole number from `low` to `high`, both included."""
        return low + math.floor(next(self._numbers) * (high - low + 1))

    def pick(self, items: Sequence[Item]) -> Item:
        """One of the items."""
        return items[self.integer(0, len(items) - 1)]

    def sign(self) -> float:
        """-1 or 1."""
        return -1.0 if self.chance(0.5) else 1.0

    def array(self, *shape: int) -> np.ndarray:
        """Numbers between 0 and 1, float64."""
        return self._generator.random(shape)
