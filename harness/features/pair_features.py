"""Feature maps of pairs: computed in batches of canonical composition, kept in bounded memory.

Which images share a batch follows from the dataset, the feature scope and the batch size alone: the distinct images of the split, in
order of first use, cut into batches. Whatever is cached, limited or resumed, an image is always computed beside the same others,
so that its features are the same to the byte. That leaves the order of pairs free: it is chosen so that few maps are computed twice.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Generator, Hashable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, cast

from harness.datasets.splits import SplitIndex
from harness.errors import BenchError, DataError, ExtractionError
from harness.features.extraction import (
    _alone,
    _checked_count,
    _is_out_of_memory,
    _release_memory,
    check_feature_map,
)
from harness.features.pictures import Pictures, picture_key
from harness.features.requests import PromptUse
from harness.features.schedule import Step, steps
from harness.frames import Size
from harness.messages import one_line
from harness.specs import (
    FeatureMap,
    ImageExtractor,
    ImagePair,
    ImageRequest,
    ImageSource,
    PairExtractor,
    PairPrompt,
    Scope,
)

Maps = tuple[FeatureMap, ...]

_BREADTH: tuple[Scope, ...] = ("dataset", "image", "category", "pair")


@dataclass(frozen=True)
class _Item:
    """What one feature map, or one pair of them, is computed from."""

    key: Hashable
    images: tuple[ImageSource, ...]
    sizes: tuple[Size, ...]
    category: str


class PairFeatures:
    """Source and target feature maps of a split's pairs.

    Features are computed once per image where extractor and prompt look at nothing else, once per image and category where the
    prompt names the category, and once per pair where either looks at both images.

    Args:
        cache_bytes: memory for maps that are kept. Those of the batches at work are, whatever it says.
        workers: processes that decode pictures ahead, for `ordered`.
        pin: whether what they decode is in page-locked memory.
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
    ) -> None:
        self._index, self._extractor, self._prompt, self._seed = index, extractor, prompt, seed
        self._pairwise_extractor = extractor_scope == "pair"
        scopes: list[Scope] = [extractor_scope, prompt.scope if prompt else "image"]
        self.scope = max(scopes, key=_BREADTH.index)
        self._batch_size = self._fits = batch_size
        self._cache = MapCache(cache_bytes)
        self._pictures = Pictures()
        self._workers, self._pin = workers, pin
        self._uses: Counter[int] | None = None
        self._prompts: dict[Hashable, Any] = {}
        self._items = self._plan()
        self._position = {item.key: number for number, item in enumerate(self._items)}

    def __call__(self, pair: ImagePair) -> tuple[FeatureMap, FeatureMap]:
        """The pair's feature maps.

        Raises:
            BenchError: if a picture is broken, the extractor raised, or what it returned is no feature map.
        """
        if self.scope == "pair":
            source, target = self._get(("pair", pair.pair_id))
            return source, target
        (source,), (target,) = (self._get(self._key(pair, image)) for image in (pair.source, pair.target))
        return source, target

    # ------------------------------------------------------------------------------------------------------------------ order

    def ordered(self, pairs: Sequence[ImagePair]) -> Generator[ImagePair, None, None]:
        """The pairs, in the order in which they should be asked for: the one given, unless maps would have to be computed again.

        While they are, pictures are decoded ahead, and maps that no pair to come reads are dropped.
        """
        needs = [self._needs(pair) for pair in pairs]
        self._uses = Counter(number for need in needs for number in need)
        try:
            done = 0
            # How many maps there is room for is known from the first.
            while done < len(pairs) and self.scope != "pair" and not self._cache.largest:
                yield pairs[done]
                self._used(needs[done])
                done += 1
            pairs, needs = pairs[done:], needs[done:]
            plan = [Step((), tuple(range(len(pairs))))] if self.scope == "pair" else self._plan_steps(needs)
            self._begin_ahead([needs[number] for step in plan for number in step.pairs])
            for step in plan:
                self._drop(step.dropped)
                for number in step.pairs:
                    yield pairs[number]
                    self._used(needs[number])
        finally:
            self._uses = None
            if self._pictures.ahead:
                self._pictures.ahead.close()

    def _plan_steps(self, needs: Sequence[Sequence[int]]) -> list[Step]:
        held = sorted({self._position[key] // self._batch_size for key in self._cache})
        return list(steps(needs, self._batch_size, self._cache.limit // max(1, self._cache.largest), held))

    def _needs(self, pair: ImagePair) -> list[int]:
        """Numbers of the items that a pair's maps come from, up to a picture that is missing."""
        if self.scope == "pair":
            return [self._position["pair", pair.pair_id]]
        numbers: list[int] = []
        with suppress(DataError):
            for image in (pair.source, pair.target):
                numbers.append(self._position[self._key(pair, image)])
        return numbers

    def _used(self, need: Sequence[int]) -> None:
        """Drops maps that were needed for the last time."""
        if self._uses is None:
            return
        for number in need:
            self._uses[number] -= 1
            if not self._uses[number]:
                self._cache.drop(self._items[number].key)

    def _drop(self, batches: Sequence[int]) -> None:
        for batch in batches:
            for item in self._batch(batch):
                self._cache.drop(item.key)

    def _begin_ahead(self, needs: Sequence[Sequence[int]]) -> None:
        """Lets workers decode what batches to come are computed from, each picture once, in order of first use."""
        if not self._workers:
            return
        from harness.features.prefetch import Prefetcher, PrefetchRequest

        held = {self._position[key] for key in self._cache}
        batches = OrderedDict.fromkeys(
            number // self._batch_size for need in needs for number in need if number not in held
        )
        wanted: OrderedDict[Hashable, PrefetchRequest] = OrderedDict()
        for batch in batches:
            for item in self._batch(batch):
                for image, size in zip(item.images, item.sizes, strict=True):
                    if key := picture_key(image, size):
                        wanted.setdefault(key, PrefetchRequest(key, image, size))
        prepare = getattr(self._extractor, "prepare", None)
        # A prompt that looks at pictures looks at them as they are.
        images = prepare is None or (self._prompt is not None and self._prompt.scope in ("image", "pair"))
        at_once = self._batch_size * (2 if self.scope == "pair" else 1)
        self._pictures.ahead = Prefetcher(
            list(wanted.values()), prepare, images=images, workers=self._workers, batch=at_once, pin=self._pin
        )

    # ------------------------------------------------------------------------------------------------------ what shares what

    def _key(self, pair: ImagePair, image: ImageSource) -> Hashable:
        category = self._index.prompt_category(pair) if self.scope == "category" else ""
        return image.identity(), category

    def _plan(self) -> list[_Item]:
        items: OrderedDict[Hashable, _Item] = OrderedDict()
        for pair in self._index.pairs.values():
            if pair.pair_id in self._index.excluded:
                continue
            category = self._index.prompt_category(pair)
            images, sizes = (pair.source, pair.target), (pair.source_size, pair.target_size)
            if self.scope == "pair":
                key: Hashable = ("pair", pair.pair_id)
                items[key] = _Item(key, images, sizes, category)
                continue
            for image, size in zip(images, sizes, strict=True):
                try:
                    key = self._key(pair, image)
                except DataError:
                    continue  # a missing picture: whoever asks for it gets the same error
                items.setdefault(key, _Item(key, (image,), (size,), category))
        return list(items.values())

    # ----------------------------------------------------------------------------------------------------------- computing

    def _get(self, key: Hashable) -> Maps:
        found = self._cache.get(key)
        if found is None:
            computed = self._compute(self._batch(self._position[key] // self._batch_size))
            # Whatever the limit, the batches of the pair at work stay: without them each of its pairs computes a whole batch anew.
            at_work = (1 if self.scope == "pair" else 2) * sum(
                size_of(one) for one in computed.values() if not isinstance(one, BenchError)
            )
            self._cache.limit = max(self._cache.limit, at_work)
            for other, result in computed.items():
                if self._uses is None or self._uses[self._position[other]]:
                    self._cache.put(other, result)
            found = computed[key]
        if isinstance(found, BenchError):
            raise found
        return found

    def _batch(self, number: int) -> Sequence[_Item]:
        return self._items[number * self._batch_size : (number + 1) * self._batch_size]

    def _compute(self, items: Sequence[_Item]) -> dict[Hashable, Maps | BenchError]:
        results: dict[Hashable, Maps | BenchError] = {}
        ready: list[tuple[_Item, tuple[ImageRequest, ...]]] = []
        for item in items:
            try:
                ready.append((item, self._requests(item)))
            except BenchError as error:
                results[item.key] = error
            except Exception as error:  # noqa: BLE001 - a prompt is a plugin's code; its failure is this item's
                results[item.key] = ExtractionError(f"prompt failed: {one_line(error)}")
        return results | self._extract(ready)

    def _requests(self, item: _Item) -> tuple[ImageRequest, ...]:
        requests = tuple(
            self._request(image, size, item.category)
            for image, size in zip(item.images, item.sizes, strict=True)
        )
        if self._prompt is None:
            return requests
        if self._prompt.scope == "image":
            return tuple(replace(one, prompt=self._prompt.make(item.category, (one,))) for one in requests)
        value = self._prompt_value(item, requests)
        values = value if isinstance(value, PairPrompt) else (value,) * len(requests)
        return tuple(replace(one, prompt=mine) for one, mine in zip(requests, values, strict=True))

    def _request(self, image: ImageSource, size: Size, category: str) -> ImageRequest:
        picture, prepared = self._pictures.get(image, size)
        return ImageRequest(picture, image.identity(), category, seed=self._seed, prepared=prepared)

    def _prompt_value(self, item: _Item, requests: tuple[ImageRequest, ...]) -> Any:
        prompt = cast("PromptUse", self._prompt)
        if prompt.scope == "pair":
            return prompt.make(item.category, requests)
        key = item.category if prompt.scope == "category" else None
        if key not in self._prompts:
            self._prompts[key] = prompt.make(item.category if key else "", ())
        return self._prompts[key]

    def _extract(
        self, ready: Sequence[tuple[_Item, tuple[ImageRequest, ...]]]
    ) -> dict[Hashable, Maps | BenchError]:
        """Features of a batch. Where memory runs out, of its halves, and from then on of no more than fitted; where it raises otherwise, of
        each item by itself, so that one bad image fails alone.
        """
        if not ready:
            return {}
        if len(ready) > self._fits:
            return self._in_parts(ready, self._fits)
        try:
            maps = self._call([requests for _, requests in ready])
        except Exception as error:  # noqa: BLE001 - an extractor is a plugin's code; what it raises fails its own pairs only
            failure = error
            # Its frames hold what filled the memory.
            failure.__traceback__ = None
        else:
            return {item.key: result for (item, _), result in zip(ready, maps, strict=True)}
        exhausted = _is_out_of_memory(failure)
        if exhausted:
            _release_memory()
        if len(ready) > 1:
            if exhausted:
                self._fits = len(ready) // 2
            return self._in_parts(ready, self._fits if exhausted else 1)
        item = ready[0][0]
        names = " and ".join(image.name for image in item.images)
        hint = (
            "; one at a time is too much, try --precision bf16 or a smaller --ensemble" if exhausted else ""
        )
        message = (
            str(failure)
            if isinstance(failure, BenchError)
            else f"extractor failed on {names}: {one_line(failure)}{hint}"
        )
        return {item.key: ExtractionError(message)}

    def _in_parts(
        self, ready: Sequence[tuple[_Item, tuple[ImageRequest, ...]]], size: int
    ) -> dict[Hashable, Maps | BenchError]:
        parts = [ready[at : at + size] for at in range(0, len(ready), size)]
        return {key: value for part in parts for key, value in self._extract(part).items()}

    def _call(self, batch: Sequence[tuple[ImageRequest, ...]]) -> list[Maps]:
        import torch

        with torch.inference_mode():
            if self._pairwise_extractor:
                pairs = [(requests[0], requests[1]) for requests in batch]
                results = [
                    tuple(maps) for maps in cast("PairExtractor", self._extractor).extract_pairs(pairs)
                ]
            else:
                flat = iter(
                    _checked_count(
                        cast("ImageExtractor", self._extractor).extract,
                        [one for many in batch for one in many],
                    )
                )
                results = [tuple(next(flat) for _ in requests) for requests in batch]
        if len(results) != len(batch):
            raise ExtractionError(f"the extractor returned {len(results)} results for {len(batch)} requests")
        for requests, maps in zip(batch, results, strict=True):
            for request, one in zip(requests, maps, strict=True):
                check_feature_map(one, request.size)
        return [tuple(map(_alone, maps)) for maps in results]


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
