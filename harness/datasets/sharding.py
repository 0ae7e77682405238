"""The pairs of a run cut into shards: of almost equal size, with few pictures in several of them.

Several machines may each take a shard of every cell. Which pairs a shard has follows from the split alone, so
that machines that know nothing of each other cut in the same places.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from itertools import islice

from harness.datasets.splits import SplitIndex, picture_identity
from harness.sweep import Shard

Pictures = tuple[str, str]
"""Identities of a pair's pictures."""


def cut_into_shards(index: SplitIndex, pair_ids: Sequence[str], count: int) -> list[list[str]]:
    """The pairs of each of `count` shards, in the order given; those that would be empty are left out.

    Args:
        pair_ids: the pairs of all shards, in the dataset's order.
    """
    total = len(pair_ids)
    # Of more shards than pairs, the first ones have a pair each.
    shards = [Shard(number, count) for number in range(1, min(count, total) + 1)]
    order = order_for_cuts(_by_category(index, pair_ids), [shard.end(total) for shard in shards])
    numbers = {pair_id: number for number, pair_id in enumerate(pair_ids)}
    return [sorted(order[shard.start(total) : shard.end(total)], key=numbers.__getitem__) for shard in shards]


def _by_category(index: SplitIndex, pair_ids: Sequence[str]) -> list[dict[str, Pictures | None]]:
    """For each category, in the order of its first pair: pair -> its pictures, None where it is broken."""
    categories: dict[str | None, dict[str, Pictures | None]] = {}
    for pair_id in pair_ids:
        pair = index.pairs.get(pair_id)
        pictures = (picture_identity(pair.source), picture_identity(pair.target)) if pair else None
        categories.setdefault(pair.category if pair else None, {})[pair_id] = pictures
    return list(categories.values())


def order_for_cuts(categories: Sequence[Mapping[str, Pictures | None]], cuts: Sequence[int]) -> list[str]:
    """All pairs in an order that is to be cut: a category in one piece, pairs of the same pictures together.

    Between two cuts pictures are added one by one, the next always the one that completes the most pairs with
    those that are there; of such, the one with more pairs in its category, then the one that comes first.

    Args:
        categories: pair -> its pictures, for each category.
        cuts: numbers of pairs after which the order will be cut, ascending.
    """
    order: list[str] = []
    for pairs in categories:
        order += [pair_id for pair_id, pictures in pairs.items() if pictures is None]
        whole = {pair_id: pictures for pair_id, pictures in pairs.items() if pictures}
        _Growth(whole, order, cuts).run()
    return order


class _Growth:
    """Puts the pairs of one category behind those of the categories before it.

    Args:
        order: grows by the pairs.
    """

    def __init__(self, pairs: Mapping[str, Pictures], order: list[str], cuts: Sequence[int]) -> None:
        self._order, self._cuts = order, cuts
        # Picture -> picture -> pairs of the two that are left, in the dataset's order.
        self._left: dict[str, dict[str, deque[str]]] = {}
        uses: Counter[str] = Counter()
        for pair_id, (source, target) in pairs.items():
            uses.update({source, target})
            both = self._left.setdefault(source, {}).setdefault(target, deque())
            # One queue under both names, so that a pair that is done is done for both of its pictures.
            self._left.setdefault(target, {})[source] = both
            both.append(pair_id)
        self._ranked = sorted(self._left, key=lambda picture: -uses[picture])
        self._rank = {picture: rank for rank, picture in enumerate(self._ranked)}
        # No picture before this one has a pair left.
        self._first = 0
        self._begin_piece()

    def _begin_piece(self) -> None:
        """Forgets the pictures of the piece before a cut."""
        # Keys of a dict and not a set, whose order is another one in each process.
        self._held: dict[str, None] = {}
        # Pairs that adding a picture would complete, and pictures by that: entries with an old number stay.
        self._gain: Counter[str] = Counter()
        self._queue: list[tuple[int, int, str]] = []
        cut = bisect_right(self._cuts, len(self._order))
        self._end = self._cuts[cut] if cut < len(self._cuts) else None

    def run(self) -> None:
        """Adds pictures until no pair is left."""
        while (picture := self._next()) is not None:
            self._add(picture)

    def _next(self) -> str | None:
        """The picture to add: the one that completes the most pairs, or the first one with pairs left."""
        while self._queue:
            gain, _, picture = heapq.heappop(self._queue)
            if picture not in self._held and -gain == self._gain[picture]:
                return picture
        while self._first < len(self._ranked) and not self._left[self._ranked[self._first]]:
            self._first += 1
        return self._ranked[self._first] if self._first < len(self._ranked) else None

    def _add(self, picture: str) -> None:
        self._held[picture] = None
        links = self._left[picture]
        # The shorter way round: one picture may be in all pairs.
        fewer, others = (links, self._held) if len(links) < len(self._held) else (self._held, links)
        for partner in [each for each in fewer if each in others]:
            if self._complete(picture, partner):
                self._begin_piece()
                return
        # Every picture that is added completes a pair: more than the piece has pairs left are of no use.
        room = None if self._end is None else self._end - len(self._order)
        for partner, pairs in islice(links.items(), room):
            self._gain[partner] += len(pairs)
            heapq.heappush(self._queue, (-self._gain[partner], self._rank[partner], partner))

    def _complete(self, picture: str, partner: str) -> bool:
        """Takes the pairs of two pictures that are held; returns True where one of them ends the piece."""
        pairs = self._left[picture][partner]
        is_end = False
        while pairs and not is_end:
            self._order.append(pairs.popleft())
            is_end = len(self._order) == self._end
        if not pairs:
            del self._left[picture][partner]
            self._left[partner].pop(picture, None)
        return is_end
