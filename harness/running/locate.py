"""Predictions of pairs, fetched from the device many at a time.

On a GPU a localizer returns before its kernels have run. Whoever looks at a result waits for them, so results stay where they are until
there are some dozens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.errors import BenchError, ExtractionError
from harness.specs import FeatureMap, Localizer, Located

if TYPE_CHECKING:
    import torch

    Task = tuple[FeatureMap, FeatureMap, torch.Tensor]
    """Source, target and (N, 2) points of a pair."""

TOGETHER = 16
"""Pairs that pass together through a localizer that takes many; their feature maps are held until then."""


class Queue:
    """Pairs that a localizer was asked for, and whose predictions nobody has looked at yet."""

    def __init__(self) -> None:
        self._localizers: dict[str, Localizer] = {}
        self._waiting: dict[str, list[tuple[str, Task]]] = {}
        self._launched: list[tuple[str, str, Located | Exception]] = []

    def add(self, pair_id: str, name: str, localizer: Localizer, task: Task) -> None:
        """Asks for a pair, at once or with those that follow where the localizer takes many."""
        self._localizers[name] = localizer
        waiting = self._waiting.setdefault(name, [])
        waiting.append((pair_id, task))
        if len(waiting) == (TOGETHER if hasattr(localizer, "many") else 1):
            self._launch(name)

    def fetch(self) -> list[tuple[str, str, Located | Exception]]:
        """Pair, name of the localizer, and its predictions on the CPU or what went wrong, of all that was asked for."""
        for name in list(self._waiting):
            self._launch(name)
        found = iter(
            fetched([result for _, _, result in self._launched if not isinstance(result, Exception)])
        )
        results = [
            (pair, name, result if isinstance(result, Exception) else next(found))
            for pair, name, result in self._launched
        ]
        self._launched.clear()
        return results

    def _launch(self, name: str) -> None:
        waiting = self._waiting.pop(name)
        results = launched(self._localizers[name], [task for _, task in waiting])
        self._launched += [
            (pair_id, name, result) for (pair_id, _), result in zip(waiting, results, strict=True)
        ]


def launched(localizer: Localizer, tasks: Sequence[Task]) -> list[Located | Exception]:
    """Predictions (N, 2) and scores (N) of each pair in float64, wherever the localizer left them.

    In their place what it raised for a pair, or an `ExtractionError` where they are not that.
    """
    import torch

    try:
        for source, target, _ in tasks:
            if source.data.shape[0] != target.data.shape[0]:
                raise ExtractionError(
                    f"the source map has {source.data.shape[0]} channels and the target map {target.data.shape[0]}"
                )
        with torch.inference_mode():
            many = getattr(localizer, "many", None)
            found = many(tasks) if many else [localizer(*task) for task in tasks]
        if len(found) != len(tasks):
            raise ExtractionError(f"expected predictions of {len(tasks)} pairs, got {len(found)}")
        return [_as_asked(one, points) for one, (_, _, points) in zip(found, tasks, strict=True)]
    except Exception as error:  # noqa: BLE001 - a localizer is a plugin's code; what it raises for a pair fails this pair only
        return (
            [error]
            if len(tasks) == 1
            else [result for task in tasks for result in launched(localizer, [task])]
        )


def _as_asked(found: Located, points: torch.Tensor) -> Located:
    xy, score = found.points.detach().double(), found.score.detach().double()
    if xy.shape != points.shape or score.shape != points.shape[:1]:
        raise ExtractionError(
            f"expected points {tuple(points.shape)} and as many scores, got {tuple(xy.shape)} and {tuple(score.shape)}"
        )
    return Located(xy, score)


def fetched(results: Sequence[Located]) -> list[Located | Exception]:
    """What was launched, on the CPU; in the place of what is not finite an `ExtractionError`, of what cannot be fetched what it raised."""
    try:
        return [_checked(one) for one in _moved(results)]
    except Exception as error:  # noqa: BLE001 - one that cannot be fetched must not take the others along
        return [error] if len(results) == 1 else [one for result in results for one in fetched([result])]


def located(localizer: Localizer, source: FeatureMap, target: FeatureMap, points: torch.Tensor) -> Located:
    """Predictions (N, 2) and scores (N) in float64 on the CPU. Raises `ExtractionError` where they are not that."""
    queue = Queue()
    queue.add("", "", localizer, (source, target, points))
    ((_, _, found),) = queue.fetch()
    if isinstance(found, Exception):
        raise found
    return found


def reason_of(error: Exception) -> str:
    """One line for what a localizer raised."""
    message = str(error) if isinstance(error, BenchError) else f"{type(error).__name__}: {error}"
    return message.splitlines()[0]


def _moved(results: Sequence[Located]) -> list[Located]:
    """The results on the CPU; those of one device in one transfer."""
    import torch

    places: dict[torch.device, list[int]] = {}
    for number, one in enumerate(results):
        places.setdefault(one.points.device, []).append(number)
    moved: dict[int, Located] = {}
    for device, numbers in places.items():
        rows = torch.cat(
            [torch.cat([results[n].points, results[n].score[:, None].to(device)], dim=1) for n in numbers]
        ).cpu()
        parts = rows.split([len(results[n].points) for n in numbers])
        moved |= {
            number: Located(part[:, :2], part[:, 2]) for number, part in zip(numbers, parts, strict=True)
        }
    return [moved[number] for number in range(len(results))]


def _checked(result: Located) -> Located | ExtractionError:
    if result.points.isfinite().all() and result.score.isfinite().all():
        return result
    return ExtractionError("a prediction is NaN or infinite")
