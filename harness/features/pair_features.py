"""Feature maps of pairs: computed in batches of canonical composition, kept in bounded memory.

Since an image is always computed beside the same others (`harness.features.items`), the order of pairs is
free. It is chosen so that few maps are computed twice (`harness.features.schedule`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Hashable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import chain

from harness.caching.lru import ByteLRU
from harness.datasets.splits import SplitIndex
from harness.errors import BenchError
from harness.features.extraction import BatchExtractor, Maps, Task
from harness.features.items import Item, ItemPlan
from harness.features.pictures import Pictures
from harness.features.prefetch import decoding_ahead
from harness.features.requests import PromptUse, RequestMaker
from harness.features.schedule import Step, steps
from harness.isolation.time_limit import NO_LIMIT, CallLimit
from harness.specs import (
    FeatureMap,
    ImageExtractor,
    ImagePair,
    PairExtractor,
    Scope,
    is_preparing_extractor,
)

_BREADTH: tuple[Scope, ...] = ("dataset", "image", "category", "pair")
"""Scopes, from those whose features serve most pairs to those that serve one."""


class PairFeatures:
    """Source and target feature maps of a split's pairs.

    Features are computed once per image where extractor and prompt look at nothing else, once per image and
    category where the prompt names the category, and once per pair where either looks at both images.

    Args:
        cache_bytes: memory for maps that are kept. The maps of the pair at work stay even where it is too
            small for them.
        workers: processes that decode pictures ahead, for `order`.
        pin: whether the decoded pictures are in page-locked memory.
        limit: the time that one call of the extractor or prompt may take.

    Attributes:
        scope: what the features depend on, through extractor and prompt together.
        on_batch: called before a batch is computed, with its number of items and that of all batches which
            the pairs of `order` need, where that is known; each is counted as often as it is computed.
    """

    def __init__(
        self,
        index: SplitIndex,
        extractor: ImageExtractor | PairExtractor,
        extractor_scope: Scope,
        prompt: PromptUse | None = None,
        *,
        seed: int = 0,
        batch_size: int = 8,
        cache_bytes: int = 2 << 30,
        workers: int = 0,
        pin: bool = False,
        limit: CallLimit = NO_LIMIT,
    ) -> None:
        self.extractor, self.prompt = extractor, prompt
        self.scope = joint_scope(extractor_scope, prompt.scope if prompt else "image")
        self._plan = ItemPlan(index, self.scope, batch_size)
        self._maps = ByteLRU[Maps](cache_bytes, _map_bytes)
        self._errors: dict[Hashable, BenchError] = {}
        self._pictures = Pictures()
        self._requests = RequestMaker(self._pictures, prompt, seed, limit)
        self._batches = BatchExtractor(extractor, extractor_scope == "pair", batch_size, limit)
        self._workers, self._pin = workers, pin
        self._uses: Counter[int] | None = None
        self._needed: int | None = None
        self.on_batch: Callable[[int, int | None], None] = lambda items, needed: None

    def __call__(self, pair: ImagePair) -> tuple[FeatureMap, FeatureMap]:
        """Returns the feature maps of source and target.

        Raises:
            BenchError: a picture is broken, the extractor raised, or its result is not a feature map.
        """
        maps: list[FeatureMap] = []
        for key in self._plan.keys(pair):
            maps.extend(self._get(key))
        source, target = maps
        return source, target

    def order(self, pairs: Sequence[ImagePair]) -> Generator[ImagePair, None, None]:
        """Yields the pairs in the order in which they should be asked for.

        That is the order given, unless maps would have to be computed again. While the pairs are worked on,
        pictures are decoded ahead, and maps that no later pair reads are dropped.
        """
        needs = [self._plan.numbers(pair) for pair in pairs]
        self._uses = Counter(chain.from_iterable(needs))
        self._needed = sum(1 for _ in self._plan.items_beside(self._uses))
        try:
            done = 0
            # The size of the first maps says how many there is room for.
            while done < len(pairs) and self._lacks_size():
                yield pairs[done]
                self._count_uses(needs[done])
                done += 1
            pairs, needs = pairs[done:], needs[done:]
            schedule = self._schedule(needs)
            order = chain.from_iterable(step.pairs for step in schedule)
            with self._decoding_ahead([needs[number] for number in order]):
                for step in schedule:
                    for item in self._plan.items_of(step.dropped):
                        self._maps.drop(item.key)
                    for number in step.pairs:
                        yield pairs[number]
                        self._count_uses(needs[number])
        finally:
            # From here on nobody knows which maps are still needed, so none is dropped early.
            self._uses = self._needed = None

    def _lacks_size(self) -> bool:
        """Says whether the order waits for the size of a map; pairs that share no map need no order."""
        return self.scope != "pair" and not self._maps.largest

    def _schedule(self, needs: Sequence[Sequence[int]]) -> list[Step]:
        if self.scope == "pair":
            # No other pair reads a pair's maps: any order computes each of them once.
            as_given = tuple(range(len(needs)))
            return [Step((), as_given)]
        room = self._maps.limit // max(1, self._maps.largest)
        held = {self._plan.batch_number(key) for key in self._maps}
        return list(steps(needs, self._plan.batch_size, room, sorted(held)))

    def _count_uses(self, need: Sequence[int]) -> None:
        """Counts the uses of a pair's maps, and drops maps at their last use."""
        if self._uses is None:
            return
        for number in need:
            self._uses[number] -= 1
            if not self._uses[number]:
                self._maps.drop(self._plan.key(number))

    def _decoding_ahead(self, needs: Sequence[Sequence[int]]) -> AbstractContextManager[None]:
        """Lets worker processes decode the pictures that will be asked for, in order of first use."""
        held = {self._plan.number(key) for key in self._maps}
        missing = [number for number in chain.from_iterable(needs) if number not in held]
        prepare = None
        if is_preparing_extractor(self.extractor):
            prepare = self.extractor.prepare
        # A prompt that looks at pictures looks at them as they are.
        prompt_scope = self.prompt.scope if self.prompt else "dataset"
        images_per_item = 2 if self.scope == "pair" else 1
        return decoding_ahead(
            self._pictures,
            self._plan.items_beside(missing),
            prepare,
            images=prepare is None or prompt_scope in ("image", "pair"),
            workers=self._workers,
            batch=self._plan.batch_size * images_per_item,
            pin=self._pin,
        )

    def _get(self, key: Hashable) -> Maps:
        result: Maps | BenchError | None = self._maps.get(key) or self._errors.get(key)
        if result is None:
            # The whole batch, whoever else needs it: a map follows from the images beside it, by rounding.
            items = self._plan.batch(self._plan.batch_number(key))
            self.on_batch(len(items), self._needed)
            results = _compute(items, self._requests, self._batches)
            self._keep(results)
            result = results[key]
        if isinstance(result, BenchError):
            raise result
        return result

    def _keep(self, results: Mapping[Hashable, Maps | BenchError]) -> None:
        """Keeps the maps and errors of a batch, but for those that no later pair reads."""
        batch_bytes = _batch_bytes(results.values())
        # The batches of the pair at work stay: without them each pair would compute a whole batch anew.
        batches_at_work = 1 if self.scope == "pair" else 2
        self._maps.limit = max(self._maps.limit, batches_at_work * batch_bytes)
        for key, result in results.items():
            number = self._plan.number(key)
            if self._uses is not None and not self._uses[number]:
                continue
            if isinstance(result, BenchError):
                self._errors[key] = result
            else:
                self._maps.put(key, result)


def joint_scope(extractor: Scope, prompt: Scope) -> Scope:
    """What features depend on, through extractor and prompt together."""
    return max((extractor, prompt), key=_BREADTH.index)


def _compute(
    items: Sequence[Item], request_maker: RequestMaker, batches: BatchExtractor
) -> dict[Hashable, Maps | BenchError]:
    """Maps of a batch, or errors, by the items' keys."""
    errors: dict[Hashable, Maps | BenchError] = {}
    tasks: list[Task] = []
    for item in items:
        try:
            requests = request_maker.requests(item)
        except BenchError as error:
            errors[item.key] = error
            continue
        tasks.append(Task(item, requests))
    return errors | batches.extract(tasks)


def _batch_bytes(results: Iterable[Maps | BenchError]) -> int:
    total = 0
    for result in results:
        if not isinstance(result, BenchError):
            total += _map_bytes(result)
    return total


def _map_bytes(maps: Maps) -> int:
    return sum(feature_map.nbytes for feature_map in maps)
