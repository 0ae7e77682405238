"""Objects that the cells of one engine share, such as a loaded network."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TypeVar, cast

Shared = TypeVar("Shared")


class SharedObjects:
    """Keeps one object for each purpose: the last that was made. Knows nothing of what it keeps.

    Whoever runs cells owns one and hands it to every extractor and prompt (`MakeContext.shared`), so that a
    network is loaded once for all cells that use it, and two engines of one process do not see each other.
    """

    def __init__(self) -> None:
        self._objects: dict[str, tuple[Hashable, object]] = {}
        self._parts: dict[str, SharedObjects] = {}

    def part(self, name: str) -> SharedObjects:
        """Returns a part of its own for one plugin, which lives as long as the whole.

        A network that a plugin's code has changed, or loaded under its own settings, must not get to others.
        """
        return self._parts.setdefault(name, SharedObjects())

    def once(self, purpose: str, key: Hashable, make: Callable[[], Shared]) -> Shared:
        """Returns the object of a purpose if it was made for an equal `key`; otherwise makes it anew.

        An object made for another key is dropped before `make` is called: two networks need twice the memory.
        """
        if purpose not in self._objects or self._objects[purpose][0] != key:
            self._objects.pop(purpose, None)
            self._objects[purpose] = key, make()
        return cast("Shared", self._objects[purpose][1])

    def clear(self) -> None:
        """Drops all objects."""
        self._objects.clear()
        for part in self._parts.values():
            part.clear()
