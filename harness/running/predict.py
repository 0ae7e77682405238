"""The work of a cell: feature maps, matches where there is a matcher, then points.

It writes no results and can be handed to another process.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from harness.caching.disk_cache import Cache
from harness.errors import BenchError, origin_of
from harness.features.pair_features import PairFeatures
from harness.features.prefetch import start_server
from harness.features.requests import PromptUse
from harness.interrupts import check_interrupt, holding_interrupts
from harness.isolation.time_limit import CallLimit
from harness.messages import one_line
from harness.records.schema import CacheUse, Failure, Stage
from harness.records.tracebacks import add_traceback
from harness.running.annotations import annotations_of
from harness.running.clock import StageClock
from harness.running.locate import AnnotatedTask, MatchesTask, Queue, Task
from harness.running.pair_matches import PairMatcher
from harness.running.resolve import ResolvedCell
from harness.running.steps import EncodingSteps
from harness.specs import ImagePair, Located, MakeContext, SharedObjects

SHARD_PAIRS = 32
"""Pairs whose predictions are handed over at once: the most work that a killed run repeats."""

SHARD_SECONDS = 30.0
"""Predictions of slow work are handed over more often."""

WantedPairs = Mapping[str, Sequence[str]]
"""Pair -> names of the localizers that are to predict its points."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """The points of one pair as one localizer predicts them.

    Attributes:
        located: one row for each valid point of the pair, on the CPU.
    """

    pair_id: str
    localizer: str
    located: Located


@dataclass(frozen=True, eq=False)
class Work:
    """An account of the work done for a cell, which its record is made from.

    Attributes:
        started: UTC, in ISO format.
        attempted: pairs and localizers that were worked on, with or without success.
        computed: number of pairs whose features were computed.
        failures: in the dataset's order.
        tracebacks: kind and place of an error -> one traceback.
        cache_trouble: the reason why something was not written to the cache; empty where all was.
        gpu_peak_memory_bytes: None without a GPU.
        hardware: of the machine that did it; empty for this one.
        workers: node and process of each worker of a cluster that did it; empty without a cluster.
    """

    started: str
    attempted: frozenset[tuple[str, str]] = frozenset()
    computed: int = 0
    failures: Sequence[Failure] = ()
    tracebacks: Mapping[str, str] = field(default_factory=dict)
    stages: Mapping[str, Stage] = field(default_factory=dict)
    cache: Mapping[str, CacheUse] = field(default_factory=dict)
    cache_trouble: str = ""
    gpu_peak_memory_bytes: int | None = None
    hardware: Mapping[str, str] = field(default_factory=dict)
    workers: frozenset[tuple[str, int]] = frozenset()

    def with_failures(self, failures: Sequence[Failure]) -> Work:
        """The same work, with pairs that were given up before it began."""
        tasks = {(failure.pair_id, name) for failure in failures for name in failure.localizers}
        return replace(self, attempted=self.attempted | tasks, failures=[*failures, *self.failures])


def predict(
    resolved: ResolvedCell,
    wanted: WantedPairs,
    hand_over: Callable[[Sequence[Prediction]], None],
    progress: Callable[[int], None] | None = None,
    shared: SharedObjects | None = None,
    step: Callable[[str], None] | None = None,
) -> Work:
    """Predicts the points of some pairs of a cell.

    Only the folder of `--cache` is written to. The bytes of predictions depend neither on the other pairs
    that are wanted nor on the process that does the work.

    Args:
        wanted: pairs of the cell's split; those that cannot be read become failures.
        hand_over: called with predictions every few dozen pairs, and with the last ones also where the work
            is interrupted.
        progress: called with the number of pairs done.
        shared: keeps loaded networks for the next cell; None drops them with this one.
        step: called with what is being done: `loading weights`, `encoding images 9 to 16 of 57`.

    Raises:
        NotApplicable: method and prompt do not fit together.
        Exception: whatever a plugin raises while extractor, prompt or localizer are made.
    """
    predictor = Predictor(resolved, shared, step)
    try:
        for predictions in predictor.predict(wanted, progress):
            hand_over(predictions)
    finally:
        # Also when the user interrupts.
        with holding_interrupts():
            hand_over(predictor.fetch())
    return predictor.account()


class Predictor:
    """Predicts pair after pair of a cell, hands predictions out part by part, and counts what it did.

    Making one loads the networks. It may predict other pairs later: feature maps are kept, and its account is
    that of the last ones. Arguments and errors: see `predict`.
    """

    def __init__(
        self,
        resolved: ResolvedCell,
        shared: SharedObjects | None = None,
        step: Callable[[str], None] | None = None,
    ) -> None:
        self._started = now()
        self._resolved, self._index = resolved, resolved.index
        self._clock, self._queue = StageClock(), Queue(CallLimit(resolved.options.timeout))
        self._step = step or (lambda text: None)
        self._cache = make_cache(resolved)
        self._step("loading weights" if resolved.weights.paths else "loading")
        with self._clock.stage("load"):
            self._features = make_pair_features(resolved, shared, self._cache)
            self._matcher = make_pair_matcher(resolved, shared, self._cache)
            self._localizers = {name: localizer.make() for name, localizer in resolved.localizers.items()}
        # From here on, so that the peak is that of the work and not of loading.
        _reset_gpu_peak(resolved.options.device)
        self._step("")
        self._is_new = True
        self._begin_account(())

    def predict(
        self, wanted: WantedPairs, progress: Callable[[int], None] | None = None
    ) -> Iterator[list[Prediction]]:
        """Works on all pairs, in the order in which few feature maps are computed twice.

        Yields predictions every few dozen pairs. Those since the last ones are left to `fetch`.
        """
        if not self._is_new:
            self._started, self._clock = now(), StageClock()
        self._is_new = False
        self._begin_account(_tasks(wanted))
        self._features.on_batch = EncodingSteps(self._features.scope, self._step, len(wanted)).begin_batch
        pairs: list[ImagePair] = []
        for pair_id in wanted:
            if pair_id in self._index.broken:
                self._add_failure(pair_id, None, self._index.broken[pair_id])
            else:
                pairs.append(self._index.pairs[pair_id])
        last_time = time.monotonic()
        # Closed at once where the loop ends early, so that no worker goes on decoding.
        with closing(self._features.order(pairs)) as ordered_pairs:
            # Broken pairs are done already.
            for done, pair in enumerate(ordered_pairs, start=len(self._failures) + 1):
                # One that was lost in a library's callback, or in a `__del__`.
                check_interrupt()
                self._predict_pair(pair, wanted[pair.pair_id])
                if progress:
                    progress(done)
                if done % SHARD_PAIRS == 0 or time.monotonic() - last_time > SHARD_SECONDS:
                    # Until whoever asked for them has stored them.
                    with holding_interrupts():
                        yield self.fetch()
                    last_time = time.monotonic()

    def _begin_account(self, attempted: Iterable[tuple[str, str]]) -> None:
        self._computed = 0
        self._attempted = frozenset(attempted)
        self._failures: list[Failure] = []
        self._tracebacks: dict[str, str] = {}
        self._cache_before = _cache_use(self._cache)

    def fetch(self) -> list[Prediction]:
        """Fetches the predictions that were not handed out yet."""
        with self._clock.stage("locate"):
            results = self._queue.fetch()
        predictions: list[Prediction] = []
        for pair_id, name, result in results:
            if isinstance(result, Exception):
                self._add_failure(pair_id, name, f"localizer {name}: {one_line(result)}", result)
            else:
                predictions.append(Prediction(pair_id, name, result))
        return predictions

    def account(self) -> Work:
        """The account of the work so far."""
        return Work(
            started=self._started,
            attempted=self._attempted,
            computed=self._computed,
            failures=in_dataset_order(self._resolved, self._failures),
            tracebacks=self._tracebacks,
            stages=self._clock.stages(),
            cache=_cache_use(self._cache, self._cache_before),
            cache_trouble=self._cache.trouble if self._cache else "",
            gpu_peak_memory_bytes=_gpu_peak(self._resolved.options.device),
        )

    def _predict_pair(self, pair: ImagePair, localizers: Sequence[str]) -> None:
        import torch

        try:
            with self._clock.stage("extract"):
                source, target = self._features(pair)
            points = torch.from_numpy(self._index.source_points(pair.pair_id))
            task: Task = (source, target, points)
            if self._matcher:
                with self._clock.stage("match"):
                    task = MatchesTask(self._matcher(pair.pair_id, source, target), points)
        except BenchError as error:
            self._add_failure(pair.pair_id, None, one_line(error), error)
            return
        self._computed += 1
        for name in localizers:
            own_task = task
            if self._resolved.localizers[name].record.spec.reads_annotations:
                own_task = AnnotatedTask(source, target, points, annotations_of(self._index, pair))
            with self._clock.stage("locate"):
                self._queue.add(pair.pair_id, name, self._localizers[name], own_task)

    def _add_failure(
        self, pair_id: str, localizer: str | None, message: str, error: Exception | None = None
    ) -> None:
        # A library may have made another error of an interrupt, which is none of the pair.
        check_interrupt()
        self._failures.append(Failure(pair_id=pair_id, localizer=localizer, error=message))
        origin = origin_of(error)
        if origin:
            add_traceback(self._tracebacks, origin.key, origin.traceback)


def now() -> str:
    """The present time in UTC, in ISO format with seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def make_pair_features(
    resolved: ResolvedCell, shared: SharedObjects | None = None, cache: Cache | None = None
) -> PairFeatures:
    """Makes the cell's extractor and prompt. Raises `NotApplicable`, and whatever a plugin raises."""
    options = resolved.options
    if options.workers:
        start_server()
    extractor = resolved.extractor.spec
    prompt_spec = resolved.prompt.spec if resolved.prompt else None
    context = _context(resolved, shared, cache)
    prompt = None
    if prompt_spec:
        prompt = PromptUse(prompt_spec.make(context), prompt_spec.scope)
    # Maps that follow from the pair are read once, and the extractor's own results of an image with every
    # pair of it: the larger share of memory is for those that are read more often.
    is_pairwise = "pair" in (extractor.scope, context.prompt_scope)
    extractor_share, maps_share = (2, 4) if is_pairwise else (4, 2)
    extractor_context = replace(context, cache_bytes=options.cache_bytes // extractor_share)
    return PairFeatures(
        resolved.index,
        extractor.make(extractor_context),
        extractor.scope,
        prompt,
        seed=resolved.cell.seed,
        batch_size=options.batch_size,
        cache_bytes=options.cache_bytes // maps_share,
        workers=options.workers,
        pin=options.device.startswith("cuda"),
        limit=CallLimit(options.timeout),
    )


def make_pair_matcher(
    resolved: ResolvedCell, shared: SharedObjects | None = None, cache: Cache | None = None
) -> PairMatcher | None:
    """Makes the cell's matcher; None for a method without one. Raises whatever a plugin raises."""
    if resolved.matcher is None:
        return None
    spec = resolved.matcher.spec
    matcher = spec.make(_context(resolved, shared, cache))
    return PairMatcher(matcher, spec.gives, CallLimit(resolved.options.timeout))


def _context(resolved: ResolvedCell, shared: SharedObjects | None, cache: Cache | None) -> MakeContext:
    options = resolved.options
    return MakeContext(
        device=options.device,
        precision=options.precision,
        compiled=options.compiled,
        params=dict(resolved.cell.params),
        weights=resolved.weights.paths,
        prompt_file=resolved.prompt_file,
        pictures=resolved.pictures,
        categories=resolved.index.categories,
        all_categories=resolved.index.words_of_all,
        prompt_scope=resolved.prompt.spec.scope if resolved.prompt else "image",
        cache_bytes=options.cache_bytes // 4,
        cache=cache,
        shared=shared or SharedObjects(),
    )


def make_cache(resolved: ResolvedCell) -> Cache | None:
    """Makes the cache on disk of what networks compute of pictures; None without `--cache`."""
    options = resolved.options
    # Computed anew means all of it: what was kept may be of code or files that nobody could see change.
    if options.cache is None or options.fresh:
        return None
    hashes = resolved.weights.hashes
    return Cache(options.cache, hashes, options.device, options.precision, options.compiled)


def _tasks(wanted: WantedPairs) -> frozenset[tuple[str, str]]:
    """Every wanted pair with each of its localizers."""
    tasks: set[tuple[str, str]] = set()
    for pair_id, names in wanted.items():
        tasks.update((pair_id, name) for name in names)
    return frozenset(tasks)


def in_dataset_order(resolved: ResolvedCell, failures: Sequence[Failure]) -> list[Failure]:
    """Failures in the dataset's order, whatever order the pairs were worked on in."""
    numbers = {pair_id: number for number, pair_id in enumerate(resolved.index.pair_ids)}
    localizers = list(resolved.localizers)

    def position(failure: Failure) -> tuple[int, int]:
        # A failure of all localizers comes before those of single ones.
        localizer = -1
        if failure.localizer:
            localizer = localizers.index(failure.localizer)
        return numbers[failure.pair_id], localizer

    return sorted(failures, key=position)


def _cache_use(cache: Cache | None, before: Mapping[str, CacheUse] | None = None) -> dict[str, CacheUse]:
    """Use of each store of the cache, since it was used as in `before`."""
    uses: dict[str, CacheUse] = {}
    if cache:
        for name, store in cache.stores.items():
            known = (before or {}).get(name, CacheUse(found=0, computed=0))
            found, computed = store.found - known.found, store.computed - known.computed
            uses[name] = CacheUse(found=found, computed=computed)
    return uses


def _reset_gpu_peak(device: str) -> None:
    if device.startswith("cuda"):
        import torch

        torch.cuda.reset_peak_memory_stats(device)


def _gpu_peak(device: str) -> int | None:
    if not device.startswith("cuda"):
        return None
    import torch

    return torch.cuda.max_memory_allocated(device)
