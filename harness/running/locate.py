"""Predictions of pairs, fetched from the device many at a time.

On a GPU a localizer returns before its kernels have run. Looking at a result waits for them, so results stay
on the device until there are some dozens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from harness.errors import ExtractionError
from harness.frames import FARTHEST
from harness.isolation.origin import remember_origin
from harness.isolation.time_limit import NO_LIMIT, CallLimit
from harness.specs import (
    FeatureMap,
    Localizer,
    Located,
    Matches,
    PairAnnotations,
    is_annotated_localizer,
    is_batch_localizer,
    is_matches_reader,
)

if TYPE_CHECKING:
    import torch


class MatchesTask(NamedTuple):
    """The matches of a pair, and (N, 2) points of its source."""

    matches: Matches
    points: torch.Tensor


class AnnotatedTask(NamedTuple):
    """Source and target of a pair, (N, 2) points of its source, and their annotations."""

    source: FeatureMap
    target: FeatureMap
    points: torch.Tensor
    annotations: PairAnnotations


MapsTask: TypeAlias = "tuple[FeatureMap, FeatureMap, torch.Tensor]"
"""Source, target and (N, 2) points of a pair."""

Task: TypeAlias = "MapsTask | MatchesTask | AnnotatedTask"
"""What a localizer is given of a pair."""

BATCH_PAIRS = 16
"""Pairs that pass together through a `BatchLocalizer`; their feature maps are held until then."""


class Queue:
    """Pairs whose predictions were requested, and not yet fetched.

    Args:
        limit: the time that one call of a localizer may take.
    """

    def __init__(self, limit: CallLimit = NO_LIMIT) -> None:
        self._limit = limit
        self._localizers: dict[str, Localizer] = {}
        self._waiting: dict[str, list[tuple[str, Task]]] = {}
        self._launched: list[tuple[str, str, Located | Exception]] = []

    def add(self, pair_id: str, name: str, localizer: Localizer, task: Task) -> None:
        """Requests the predictions of a pair.

        A localizer starts on it at once; a `BatchLocalizer` when there are enough pairs for a batch. Matches
        are read at once, too: a volume may be larger than both maps.
        """
        self._localizers[name] = localizer
        waiting = self._waiting.setdefault(name, [])
        waiting.append((pair_id, task))
        is_batched = is_batch_localizer(localizer) and not isinstance(task, MatchesTask | AnnotatedTask)
        if len(waiting) == BATCH_PAIRS or not is_batched:
            self._launch(name)

    def fetch(self) -> list[tuple[str, str, Located | Exception]]:
        """Returns the results of all requests since the last call.

        Each is pair, name of the localizer, and its predictions on the CPU or the exception it raised.
        """
        for name in list(self._waiting):
            self._launch(name)
        on_device: list[Located] = []
        for _, _, result in self._launched:
            if not isinstance(result, Exception):
                on_device.append(result)
        on_cpu = iter(fetch_results(on_device))
        results: list[tuple[str, str, Located | Exception]] = []
        for pair_id, name, result in self._launched:
            # Errors keep their place among the results.
            if isinstance(result, Exception):
                results.append((pair_id, name, result))
            else:
                results.append((pair_id, name, next(on_cpu)))
        self._launched.clear()
        return results

    def _launch(self, name: str) -> None:
        waiting = self._waiting.pop(name)
        tasks = [task for _, task in waiting]
        results = launch(self._localizers[name], tasks, self._limit)
        for (pair_id, _), result in zip(waiting, results, strict=True):
            self._launched.append((pair_id, name, result))


def launch(
    localizer: Localizer, tasks: Sequence[Task], limit: CallLimit = NO_LIMIT
) -> list[Located | Exception]:
    """Calls a localizer and leaves the results on its device.

    Returns:
        For each pair predictions (N, 2) and scores (N) in float64, or the exception that the localizer raised
        for it, or an `ExtractionError` where the result has another shape.
    """
    import torch

    try:
        for task in tasks:
            if not isinstance(task, MatchesTask):
                _check_channels(task[0], task[1])
        with torch.inference_mode(), limit.call():
            results = _call(localizer, tasks)
        if len(results) != len(tasks):
            raise ExtractionError(f"expected predictions of {len(tasks)} pairs, got {len(results)}")
        located: list[Located | Exception] = []
        for result, task in zip(results, tasks, strict=True):
            points = task.points if isinstance(task, MatchesTask) else task[2]
            located.append(_as_float64(result, points))
        return located
    except Exception as error:  # noqa: BLE001 - a plugin's code, and its error fails one pair only
        if len(tasks) == 1:
            remember_origin(error)
            # The frames of the error hold feature maps.
            return [error.with_traceback(None)]
        # One by one, to find the pair that it belongs to.
        return [launch(localizer, [task], limit)[0] for task in tasks]


def fetch_results(results: Sequence[Located]) -> list[Located | Exception]:
    """Moves results to the CPU.

    Returns:
        Each result, or an `ExtractionError` where it is not finite or beyond all pictures, or the exception
        that moving it raised.
    """
    try:
        return [_check_finite(result) for result in _move_to_cpu(results)]
    except Exception as error:  # noqa: BLE001 - a result that cannot be moved must not take the others along
        if len(results) == 1:
            return [error]
        return [fetch_results([result])[0] for result in results]


def locate_points(localizer: Localizer, task: Task) -> Located:
    """Predicts the points of one pair: (N, 2) and scores (N) in float64 on the CPU.

    Raises:
        ExtractionError: the result has another shape, is not finite, or is beyond all pictures.
        Exception: whatever the localizer raises.
    """
    queue = Queue()
    queue.add("", "", localizer, task)
    ((_, _, result),) = queue.fetch()
    if isinstance(result, Exception):
        raise result
    return result


def _call(localizer: Localizer, tasks: Sequence[Task]) -> Sequence[Located]:
    if any(isinstance(task, AnnotatedTask) for task in tasks):
        if not is_annotated_localizer(localizer):
            raise ExtractionError("the localizer reads no annotations: it has no method 'locate_annotated'")
        return [localizer.locate_annotated(*task) for task in tasks if isinstance(task, AnnotatedTask)]
    maps = [task for task in tasks if not isinstance(task, MatchesTask | AnnotatedTask)]
    if len(maps) == len(tasks):
        if is_batch_localizer(localizer):
            return localizer.many(maps)
        return [localizer(*task) for task in maps]
    if not is_matches_reader(localizer):
        raise ExtractionError("the localizer reads no matches: it has no method 'read'")
    return [localizer.read(*task) for task in tasks if isinstance(task, MatchesTask)]


def _check_channels(source: FeatureMap, target: FeatureMap) -> None:
    in_source, in_target = source.data.shape[0], target.data.shape[0]
    if in_source != in_target:
        raise ExtractionError(f"the source map has {in_source} channels and the target map {in_target}")


def _as_float64(result: Located, points: torch.Tensor) -> Located:
    import torch

    # Copies: the localizer may use its tensors again before they are fetched.
    xy = result.points.detach().to(torch.float64, copy=True)
    score = result.score.detach().to(torch.float64, copy=True)
    if xy.shape != points.shape or score.shape != points.shape[:1]:
        raise ExtractionError(
            f"expected points {tuple(points.shape)} and as many scores, "
            f"got {tuple(xy.shape)} and {tuple(score.shape)}"
        )
    return Located(xy, score)


def _move_to_cpu(results: Sequence[Located]) -> list[Located]:
    """The results on the CPU; those of one device in one transfer."""
    import torch

    by_device: dict[torch.device, list[int]] = {}
    for number, result in enumerate(results):
        by_device.setdefault(result.points.device, []).append(number)
    moved: dict[int, Located] = {}
    for device, numbers in by_device.items():
        rows: list[torch.Tensor] = []
        for number in numbers:
            points, score = results[number]
            # A localizer may leave its scores on another device than its points.
            rows.append(torch.cat([points, score[:, None].to(device)], dim=1))
        counts = list(map(len, rows))
        moved_rows = torch.cat(rows).cpu().split(counts)
        for number, pair_rows in zip(numbers, moved_rows, strict=True):
            moved[number] = Located(pair_rows[:, :2], pair_rows[:, 2])
    return [moved[number] for number in range(len(results))]


def _check_finite(result: Located) -> Located | ExtractionError:
    if not (result.points.isfinite().all() and result.score.isfinite().all()):
        return ExtractionError("a prediction is NaN or infinite")
    if (result.points.abs() > FARTHEST).any():
        return ExtractionError(f"a prediction is more than {FARTHEST:g} pixels away")
    return result
