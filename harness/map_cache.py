"""Feature maps that are kept, within a number of bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator

from harness.errors import BenchError
from harness.specs import FeatureMap

Maps = tuple[FeatureMap, ...]


class MapCache:
    """The last feature maps used, within a number of bytes, and every error.

    Attributes:
        limit: bytes that are kept.
        largest: bytes of the largest entry there was; 0 before the first.
    """

    def __init__(self, limit: int) -> None:
        self.limit, self.largest, self._held = limit, 0, 0
        self._maps: OrderedDict[Hashable, Maps] = OrderedDict()
        self._errors: dict[Hashable, BenchError] = {}

    def __iter__(self) -> Iterator[Hashable]:
        """Keys of the maps that are held."""
        return iter(self._maps)

    def get(self, key: Hashable) -> Maps | BenchError | None:
        """What is kept under a key."""
        if key in self._maps:
            self._maps.move_to_end(key)
            return self._maps[key]
        return self._errors.get(key)

    def put(self, key: Hashable, value: Maps | BenchError) -> None:
        """Keeps it, and drops what was not used for longest."""
        if isinstance(value, BenchError):
            self._errors[key] = value
            return
        self.drop(key)
        self._maps[key] = value
        self._held += size_of(value)
        self.largest = max(self.largest, size_of(value))
        while self._held > self.limit and len(self._maps) > 1:
            self.drop(next(iter(self._maps)))

    def drop(self, key: Hashable) -> None:
        """Forgets the maps of a key, if there are any."""
        dropped = self._maps.pop(key, None)
        if dropped is not None:
            self._held -= size_of(dropped)


def size_of(maps: Maps) -> int:
    """Bytes of some maps."""
    return sum(one.data.nbytes for one in maps)
