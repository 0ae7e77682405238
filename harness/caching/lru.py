"""Values in bounded memory, the least recently used dropped first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    import torch

Value = TypeVar("Value")

Tensors = Mapping[str, "torch.Tensor"]
"""Tensors by name."""


class ByteLRU(Generic[Value]):
    """The values used last, within a number of bytes.

    Args:
        size_of: value -> its bytes, the same for the value's whole life.
        at_least: number of values that stay whatever their size, such as two for the images of the pair at
            work.

    Attributes:
        limit: bytes that are kept; it may be changed at any time, and counts from the next value on.
        largest: bytes of the largest value so far; 0 before the first.
    """

    def __init__(self, limit: int, size_of: Callable[[Value], int], at_least: int = 1) -> None:
        self.limit, self.largest = limit, 0
        self._size_of, self._at_least = size_of, at_least
        self._values: OrderedDict[Hashable, Value] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[Hashable]:
        """Keys of the values that are held, the least recently used first."""
        return iter(self._values)

    def get(self, key: Hashable) -> Value | None:
        """Returns the value of a key, which then counts as used; None where it is not held."""
        if key in self._values:
            self._values.move_to_end(key)
        return self._values.get(key)

    def put(self, key: Hashable, value: Value) -> None:
        """Keeps a value, in place of the key's earlier one, and drops the least recently used ones."""
        # Its bytes may differ from those of the value that takes its place.
        self.drop(key)
        self._values[key] = value
        size = self._size_of(value)
        self._bytes += size
        self.largest = max(self.largest, size)
        self._shrink()

    def once(self, key: Hashable, compute: Callable[[], Value]) -> Value:
        """Returns the value of a key, computed and kept where it is not held.

        Args:
            key: everything that the value depends on.
        """
        value = self.get(key)
        if value is None:
            value = compute()
            self.put(key, value)
        else:
            # The limit may have become lower since the value was kept.
            self._shrink()
        return value

    def drop(self, key: Hashable) -> None:
        """Forgets the value of a key, if it is held."""
        value = self._values.pop(key, None)
        if value is not None:
            self._bytes -= self._size_of(value)

    def _shrink(self) -> None:
        while self._bytes > self.limit and len(self._values) > self._at_least:
            self.drop(next(iter(self._values)))


def tensor_bytes(tensors: Tensors) -> int:
    """Bytes of named tensors."""
    return sum(tensor.nbytes for tensor in tensors.values())
