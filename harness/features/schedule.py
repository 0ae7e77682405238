"""The order of pairs, chosen so that feature maps for which there is no room are seldom computed again.

Maps come in batches, and a pair can be worked on while the batches of both its pictures are held. Batches are
nodes of a graph and pairs are its edges; an order is a sequence of loads, with room for some nodes at a time,
that meets every edge. The order here loads next the batch that completes the most pairs with those that are
held, for each map that it has. Where room is needed, it drops a batch that has no pair with the coming one,
and among those the one with the most pairs left: a batch that is nearly done is finished before it goes, and
does not come back for a few leftovers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

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
    """Yields all pairs, in an order that loads few batches.

    Where the maps of all pairs have room together, that is the order given. Pairs that read no map come
    first.

    Args:
        needs: for each pair, the numbers of the maps that it reads; map n is in batch n // batch_size.
        room: number of maps that can be held. Two batches are held even where it is smaller.
        held: batches that are held already.
    """
    numbers = set(chain.from_iterable(needs))
    if len(numbers) <= room:
        as_given = tuple(range(len(needs)))
        yield Step((), as_given)
        return
    yield from _Loads(needs, batch_size, room).steps(held)


class _Loads:
    """The state of the schedule: pairs that are left, and batches that are held."""

    def __init__(self, needs: Sequence[Sequence[int]], batch_size: int, room: int) -> None:
        self._needs, self._batch_size, self._room = needs, batch_size, room
        # For each map: uses by pairs that are left.
        self._uses = Counter(chain.from_iterable(needs))
        count = max(self._uses, default=-1) // batch_size + 1
        # For each batch: the batches with which it has pairs, itself included, and those pairs.
        self._linked: list[dict[int, list[int]]] = [{} for _ in range(count)]
        # For each batch: pairs left; pairs that loading it would complete; maps that are still needed.
        self._left = np.zeros(count, dtype=np.int64)
        self._gain = np.zeros(count, dtype=np.int64)
        self._live = Counter(number // batch_size for number in self._uses)
        # For each batch: the maps that some pair reads, about what loading it costs.
        self._maps = np.array([max(1, self._live[batch]) for batch in range(count)])
        for pair, need in enumerate(needs):
            batches = {number // batch_size for number in need}
            for batch in batches:
                # The pair's other batch; itself where both maps are in one.
                partner = next(iter(batches - {batch}), batch)
                self._linked[batch].setdefault(partner, []).append(pair)
                self._left[batch] += 1
                self._gain[batch] += len(batches) == 1
        # Keys of a dict and not a set: ties between batches are broken in the order of loading.
        self._held: dict[int, None] = {}
        # A pair whose pictures are missing reads no map: there is nothing to load for it.
        self._done = [not need for need in needs]
        # No pair before this one is left.
        self._next = 0

    def steps(self, held: Sequence[int]) -> Iterator[Step]:
        """See `steps`."""
        idle = [pair for pair, need in enumerate(self._needs) if not need]
        if idle:
            yield Step((), tuple(idle))
        # Batches that are in memory already cost nothing; those that no pair needs are not counted as held.
        for batch in held:
            if batch < len(self._left) and self._left[batch]:
                yield self._load(batch)
        while (best := self._best()) is not None:
            yield self._load(best)

    def _best(self) -> int | None:
        """The batch that completes most pairs a map; where none completes any, that of the first pair left.

        None where no pair is left.
        """
        gain = self._gain.copy()
        gain[list(self._held)] = 0
        if len(gain) and gain.max() > 0:
            return int((gain / self._maps).argmax())
        while self._next < len(self._done) and self._done[self._next]:
            self._next += 1
        if self._next == len(self._done):
            return None
        return self._needs[self._next][0] // self._batch_size

    def _load(self, batch: int) -> Step:
        """Loads a batch, and completes its pairs with the batches that are held."""
        dropped = self._make_room(batch)
        self._held[batch] = None
        self._add_gain(batch, 1)
        done: list[int] = []
        for partner in list(self._linked[batch]):
            if partner in self._held:
                done += self._complete(batch, partner)
        # Not among the dropped: each of their maps goes at its last use.
        for held in list(self._held):
            if not self._left[held]:
                self._release(held)
        return Step(tuple(dropped), tuple(sorted(done)))

    def _make_room(self, batch: int) -> list[int]:
        """Releases batches until there is room for another one; returns those that were released."""
        linked = self._linked[batch]
        dropped: list[int] = []

        def worth(held: int) -> tuple[int, int]:
            pairs = linked.get(held, ())
            return len(pairs), -int(self._left[held])

        # One batch stays whatever the room, for the pairs that it has with the coming one.
        while len(self._held) > 1 and self._live_maps([*self._held, batch]) > self._room:
            victim = min(self._held, key=worth)
            self._release(victim)
            dropped.append(victim)
        return dropped

    def _live_maps(self, batches: Sequence[int]) -> int:
        return sum(self._live[batch] for batch in batches)

    def _complete(self, batch: int, partner: int) -> list[int]:
        """Marks the pairs of two held batches as done, and returns them."""
        pairs = self._linked[batch].pop(partner)
        self._linked[partner].pop(batch, None)
        # A set: a batch may be its own partner.
        for loaded in {batch, partner}:
            self._left[loaded] -= len(pairs)
            self._gain[loaded] -= len(pairs)
        for pair in pairs:
            self._done[pair] = True
            for number in self._needs[pair]:
                self._uses[number] -= 1
                if not self._uses[number]:
                    self._live[number // self._batch_size] -= 1
        return pairs

    def _release(self, batch: int) -> None:
        del self._held[batch]
        self._add_gain(batch, -1)

    def _add_gain(self, batch: int, sign: int) -> None:
        """Counts the pairs of a batch for or against loading its partners."""
        for partner, pairs in self._linked[batch].items():
            if partner != batch:
                self._gain[partner] += sign * len(pairs)
