"""One batch through an extractor: its maps checked, its failures kept to the images they belong to."""

from __future__ import annotations

import logging
import operator
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from itertools import chain, islice
from typing import TYPE_CHECKING, NamedTuple, cast

from harness.errors import BenchError, ExtractionError
from harness.features.items import Item
from harness.frames import Size
from harness.isolation.origin import remember_origin
from harness.isolation.time_limit import NO_LIMIT, Call, CallLimit, reason_to_avoid
from harness.messages import counted, one_line
from harness.specs import FeatureMap, ImageExtractor, ImageRequest, ImageSource, PairExtractor
from harness.specs.extractors import is_constant

if TYPE_CHECKING:
    import torch

Maps = tuple[FeatureMap, ...]
"""The feature maps of an item: one, or those of source and target."""

_EXPECTED = "a feature map is a floating-point tensor of shape (channels, height, width)"


class Task(NamedTuple):
    """An item with its requests, one for each of its images."""

    item: Item
    requests: tuple[ImageRequest, ...]


class BatchExtractor:
    """Calls an extractor with a batch of items.

    Where memory runs out, a batch is halved, and from then on none is larger than the halves. Where an
    extractor raises otherwise, it is called for each item by itself, so that one bad image fails alone.

    Args:
        is_pairwise: whether the extractor is a `PairExtractor`.
        batch_size: the largest number of items in one call.
        limit: the time that one call may take.
    """

    def __init__(
        self,
        extractor: ImageExtractor | PairExtractor,
        is_pairwise: bool,
        batch_size: int,
        limit: CallLimit = NO_LIMIT,
    ) -> None:
        self._extractor, self._is_pairwise, self._fitting = extractor, is_pairwise, batch_size
        self._limit = limit
        self._is_told = self._is_flat_told = False

    def extract(self, tasks: Sequence[Task]) -> dict[Hashable, Maps | BenchError]:
        """Returns the maps of each item, or its error, by the items' keys."""
        if not tasks:
            return {}
        if len(tasks) > self._fitting:
            return self._extract_in_parts(tasks, self._fitting)
        call = tuple(repr(task.item.key) for task in tasks)
        if reason := reason_to_avoid(call):
            # It ended the process that made it. Which of its items does that is found one by one.
            if len(tasks) > 1:
                return self._extract_in_parts(tasks, 1)
            return {tasks[0].item.key: ExtractionError(reason)}
        try:
            maps = self._call(tasks, call)
        except Exception as error:  # noqa: BLE001 - a plugin's code, and its error fails its own pairs only
            remember_origin(error)
            # The frames of the error hold the tensors that filled the memory.
            failure = error.with_traceback(None)
        else:
            keys = [task.item.key for task in tasks]
            return dict(zip(keys, maps, strict=True))
        return self._retry(tasks, failure)

    def _retry(self, tasks: Sequence[Task], failure: Exception) -> dict[Hashable, Maps | BenchError]:
        """Extracts a batch that failed in parts; a single item gets the failure as its result."""
        is_exhausted = is_out_of_memory(failure)
        if is_exhausted:
            release_memory()
        if len(tasks) == 1:
            item = tasks[0].item
            return {item.key: _item_error(item, failure, is_exhausted)}
        if not is_exhausted:
            results = self._extract_in_parts(tasks, 1)
            self._tell_of_batch(len(tasks), failure, results)
            return results
        # For all later batches too: another try of the full size would cost its time and fail again.
        self._fitting = len(tasks) // 2
        return self._extract_in_parts(tasks, self._fitting)

    def _tell_of_batch(
        self, size: int, failure: Exception, results: Mapping[Hashable, Maps | BenchError]
    ) -> None:
        """Says once that an extractor fails on a batch alone; any other failure is that of its pairs."""
        if self._is_told or any(isinstance(result, BenchError) for result in results.values()):
            return
        self._is_told = True
        noun = "pair" if self._is_pairwise else "image"
        logging.getLogger(__name__).warning(
            "bench: an extractor raised on %s at once and succeeded with one at a time: %s",
            counted(size, noun),
            one_line(failure),
        )

    def _tell_of_flat(self, feature_map: FeatureMap, image: ImageSource) -> None:
        """Says once that a map has the same features everywhere: its points are found, and mean nothing."""
        if not self._is_flat_told and is_flat(feature_map):
            self._is_flat_told = True
            logging.getLogger(__name__).warning(
                "bench: %s: the extractor found the same features in every cell, so that predictions on this "
                "image, and on others like it, mean nothing; is the image blank, or are weights all zero?",
                image.name,
            )

    def _extract_in_parts(self, tasks: Sequence[Task], size: int) -> dict[Hashable, Maps | BenchError]:
        results: dict[Hashable, Maps | BenchError] = {}
        for start in range(0, len(tasks), size):
            results |= self.extract(tasks[start : start + size])
        return results

    def _call(self, tasks: Sequence[Task], items: Call) -> list[Maps]:
        """Returns the feature maps of each item.

        Args:
            items: names of the items.

        Raises:
            ExtractionError: a result is not a feature map of its request.
            Exception: whatever the extractor raises.
        """
        import torch

        batch = [task.requests for task in tasks]
        with torch.inference_mode(), self._limit.call(items):
            call = self._call_for_pairs if self._is_pairwise else self._call_for_images
            results = call(batch)
        if len(results) != len(batch):
            raise ExtractionError(f"the extractor returned {len(results)} results for {len(batch)} requests")
        for task, maps in zip(tasks, results, strict=True):
            # As annotated: what the extractor was handed may be changed by now.
            for image, size, feature_map in zip(task.item.images, task.item.sizes, maps, strict=True):
                check_feature_map(feature_map, size)
                self._tell_of_flat(feature_map, image)
        separate_maps: list[Maps] = []
        for maps in results:
            separate_maps.append(tuple(map(_without_batch, maps)))
        return separate_maps

    def _call_for_pairs(self, batch: Sequence[tuple[ImageRequest, ...]]) -> list[Maps]:
        extractor = cast("PairExtractor", self._extractor)
        pairs = [(source, target) for source, target in batch]
        return list(map(tuple, extractor.extract_pairs(pairs)))

    def _call_for_images(self, batch: Sequence[tuple[ImageRequest, ...]]) -> list[Maps]:
        extractor = cast("ImageExtractor", self._extractor)
        requests = list(chain.from_iterable(batch))
        maps = extractor.extract(requests)
        if len(maps) != len(requests):
            raise ExtractionError(
                f"the extractor returned {len(maps)} feature maps for {len(requests)} images"
            )
        remaining = iter(maps)
        return [tuple(islice(remaining, len(item_requests))) for item_requests in batch]


def check_feature_map(result: object, original: Size) -> None:
    """Checks that `result` is a finite (C, h, w) `FeatureMap` of an image of size `original`.

    Raises:
        ExtractionError: it is not.
    """
    import torch

    if not isinstance(result, FeatureMap):
        raise ExtractionError(f"the extractor returned a {type(result).__name__}, expected a FeatureMap")
    data: object = result.data
    if not isinstance(data, torch.Tensor):
        raise ExtractionError(f"{_EXPECTED}; the extractor returned {type(data).__name__}")
    if data.ndim != 3 or not data.is_floating_point() or not data.numel():
        raise ExtractionError(
            f"{_EXPECTED}; the extractor returned {data.dtype} of shape {tuple(data.shape)}"
        )
    if result.frame.original != original:
        raise ExtractionError(
            f"the feature map's frame is of an image of {tuple(result.frame.original)} pixels, "
            f"the image has {tuple(original)}"
        )
    check_finite_output(data, "the feature map")
    if not isinstance(result.levels, tuple):
        raise ExtractionError(f"levels of a feature map are a tuple, not a {type(result.levels).__name__}")
    for number, level in enumerate(result.levels):
        value: object = level
        if not isinstance(value, torch.Tensor) or not value.is_floating_point() or not value.numel():
            raise ExtractionError(f"level {number} of the feature map is no floating-point tensor")
        check_finite_output(level, f"level {number} of the feature map")


def is_flat(feature_map: FeatureMap) -> bool:
    """Whether a map of several cells has the same features in all of them; one with levels, which a matcher
    reads, is never said to be."""
    data = feature_map.data
    return not feature_map.levels and data[0].numel() > 1 and is_constant(data)


def check_finite_output(tensor: torch.Tensor, noun: str) -> None:
    """Checks that what a plugin has computed is finite. Raises `ExtractionError` where it is not."""
    import torch

    # NaN and infinity survive a sum, which takes a tenth of the time. A sum may also overflow: look again.
    if not torch.isfinite(tensor.sum()) and not torch.isfinite(tensor).all():
        raise ExtractionError(
            f"{noun} has NaN or infinite values; where half precision was asked for, "
            "--precision fp32 may mend that"
        )


def _item_error(item: Item, failure: Exception, is_exhausted: bool) -> ExtractionError:
    if isinstance(failure, BenchError):
        return _caused_by(failure, ExtractionError(one_line(failure)))
    names = " and ".join(image.name for image in item.images)
    hint = ""
    if is_exhausted:
        hint = "; one at a time is too much, try --precision bf16 or a smaller --ensemble"
    return _caused_by(failure, ExtractionError(f"extractor failed on {names}: {one_line(failure)}{hint}"))


def _caused_by(cause: Exception, error: ExtractionError) -> ExtractionError:
    # As `raise ... from` would: where it was raised is known by its cause.
    error.__cause__ = cause
    return error


def is_out_of_memory(error: BaseException | None) -> bool:
    """Says whether an error, or one that it was raised from, means that a GPU or the machine lacks memory."""
    import torch

    while error is not None:
        if isinstance(error, torch.OutOfMemoryError | MemoryError):
            return True
        # On a CPU PyTorch's allocator raises a plain RuntimeError; only its text says why.
        if "can't allocate memory" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def release_memory() -> None:
    """Gives back what PyTorch's allocator holds without using it: pieces too small for the next try."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _without_batch(feature_map: FeatureMap) -> FeatureMap:
    """The map with memory of its own: a slice would keep the whole batch in memory."""
    data = _without_slice(feature_map.data)
    levels = tuple(map(_without_slice, feature_map.levels))
    if data is feature_map.data and all(map(operator.is_, levels, feature_map.levels)):
        return feature_map
    return replace(feature_map, data=data, levels=levels)


def _without_slice(tensor: torch.Tensor) -> torch.Tensor:
    is_slice = tensor.untyped_storage().nbytes() > tensor.nbytes
    return tensor.clone() if is_slice else tensor
