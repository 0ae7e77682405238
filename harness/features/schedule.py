"""In which order pairs are worked on, so that feature maps for which there is no room are seldom computed again.

Maps come in batches, and a pair can be worked on while the batches of both its pictures are held. Batches are nodes of a graph, pairs
its edges, and what is sought is a sequence of loads, with room for some nodes at a time, that meets every edge. The order here takes
next the batch that completes the most pairs with those that are held. Where room is needed it drops a batch that has no pair with the
coming one, and among those the one with the most pairs left: what is nearly done is done before it goes, so that no batch comes
back for a few leftovers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Step:
    """Pairs that are worked on with the same batches at hand.

    Attributes:
        dropped: batches whose maps make room first.
        pairs: numbers of pairs, ascending.
    """

    dropped: tuple[int, ...]
    pairs: tuple[int, ...]


def steps(
    needs: Sequence[Sequence[int]], batch_size: int, room: int, held: Sequence[int] = ()
) -> Iterator[Step]:
    """All pairs, in an order that loads few batches. Where the maps of all pairs have room together, that is the order given.

    Args:
        needs: of each pair, the numbers of the maps that it reads; map n is in batch n // batch_size. Pairs that read none are first.
        room: maps that can be held. Two batches are, whatever it says.
        held: batches that are held already.
    """
    if len({number for need in needs for number in need}) <= room:
        yield Step((), tuple(range(len(needs))))
        return
    yield from _Loads(needs, batch_size, room).steps(held)


class _Loads:
    """What is left to do, and which batches are held."""

    def __init__(self, needs: Sequence[Sequence[int]], batch_size: int, room: int) -> None:
        self._needs, self._batch_size, self._room = needs, batch_size, room
        self._uses = Counter(number for need in needs for number in need)
        count = max(self._uses, default=-1) // batch_size + 1
        # Of each batch: the batches that it has pairs with, itself perhaps, and those pairs.
        self._linked: list[dict[int, list[int]]] = [{} for _ in range(count)]
        # Of each batch: pairs left; those of them that it completes, being loaded; maps that are still of use.
        self._left, self._gain = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
        self._live = Counter(number // batch_size for number in self._uses)
        for pair, need in enumerate(needs):
            batches = {number // batch_size for number in need}
            for one in batches:
                self._linked[one].setdefault(next(iter(batches - {one}), one), []).append(pair)
                self._left[one] += 1
                self._gain[one] += len(batches) == 1
        self._held: dict[int, None] = {}
        self._done = [not need for need in needs]
        self._next = 0

    def steps(self, held: Sequence[int]) -> Iterator[Step]:
        """See `steps`."""
        if idle := tuple(pair for pair, done in enumerate(self._done) if done):
            yield Step((), idle)
        for batch in held:
            if batch < len(self._left) and self._left[batch]:
                yield self._load(batch)
        while (best := self._best()) is not None:
            yield self._load(best)

    def _best(self) -> int | None:
        """The batch that completes most pairs; where none does any, that of the first pair left; None where no pair is left."""
        gain = self._gain.copy()
        gain[list(self._held)] = 0
        batch = int(gain.argmax()) if len(gain) else 0
        if len(gain) and gain[batch] > 0:
            return batch
        while self._next < len(self._done) and self._done[self._next]:
            self._next += 1
        return None if self._next == len(self._done) else self._needs[self._next][0] // self._batch_size

    def _load(self, batch: int) -> Step:
        linked, dropped = self._linked[batch], []
        while (
            len(self._held) > 1
            and sum(self._live[one] for one in self._held) + self._live[batch] > self._room
        ):
            victim = min(self._held, key=lambda one: (len(linked.get(one, ())), -self._left[one]))
            self._release(victim)
            dropped.append(victim)
        self._held[batch] = None
        for other, pairs in linked.items():
            self._gain[other] += len(pairs) if other != batch else 0
        done = sorted(
            pair for other in list(linked) if other in self._held for pair in self._complete(batch, other)
        )
        for one in [one for one in self._held if not self._left[one]]:
            self._release(one)
        return Step(tuple(dropped), tuple(done))

    def _complete(self, one: int, other: int) -> list[int]:
        """The pairs of two batches that are held, which are then done."""
        pairs = self._linked[one].pop(other)
        self._linked[other].pop(one, None)
        for batch in {one, other}:
            self._left[batch] -= len(pairs)
            self._gain[batch] -= len(pairs)
        for pair in pairs:
            self._done[pair] = True
            for number in self._needs[pair]:
                self._uses[number] -= 1
                self._live[number // self._batch_size] -= not self._uses[number]
        return pairs

    def _release(self, batch: int) -> None:
        del self._held[batch]
        for other, pairs in self._linked[batch].items():
            self._gain[other] -= len(pairs) if other != batch else 0
