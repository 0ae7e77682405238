"""What the parts of a record say about each other: a reader refuses one that contradicts itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.records.schema import Counts, LocalizerInfo, Record, Score
from harness.records.slices import ALL, category_of
from harness.specs import Averaging

_ROUNDING = 1e-6
"""Percent by which a mean of rounded percentages may differ from the rounded mean."""


def contradiction(record: Record) -> str:
    """The first contradiction between the parts of a record; empty where there is none."""
    return next(_contradictions(record), "")


def _contradictions(record: Record) -> Iterator[str]:
    yield from _of_status(record)
    if record.counts:
        yield from _of_counts(record, record.counts)
    keys: set[tuple[object, ...]] = set()
    for score in record.scores:
        key = (score.localizer, score.protocol, score.averaging, score.alpha, score.slice)
        name = _name_of(score)
        if key in keys:
            yield f"{name}: is there twice"
        keys.add(key)
        info = record.localizers.get(score.localizer)
        if info is None:
            yield f"{name}: the record does not say which pairs localizer {score.localizer} has predicted"
            continue
        for problem in _of_score(score, info):
            yield f"{name}: {problem}"
    if not record.sealed:
        yield from _of_means(record.scores)


def _of_means(scores: Sequence[Score]) -> Iterator[str]:
    """Scores of all pairs that are not the mean of those of their categories.

    For records of earlier versions, which have no seal.
    """
    groups: dict[tuple[object, ...], list[Score]] = {}
    for score in scores:
        if category_of(score.slice) is not None:
            key = (score.localizer, score.protocol, score.averaging, score.alpha)
            groups.setdefault(key, []).append(score)
    for score in scores:
        parts = groups.get((score.localizer, score.protocol, score.averaging, score.alpha), [])
        # Pairs without a category, or a category without a score: its mean cannot be known.
        if score.slice != ALL or not parts or score.pairs != sum(part.pairs for part in parts):
            continue
        weights = [_weight(part) for part in parts]
        if not sum(weights) or (score.averaging == "point" and score.keypoints != sum(weights)):
            continue
        mean = sum(weight * part.pck for weight, part in zip(weights, parts, strict=True)) / sum(weights)
        if abs(mean - score.pck) > _ROUNDING:
            numbers = (
                f"{score.pck:g} (averaging {score.averaging}), and the mean of its categories is {mean:g}"
            )
            yield f"{_name_of(score)}: {numbers}"


def _weight(part: Score) -> int:
    """Weight of a category's score in the mean over all pairs, with the same average."""
    weights: dict[Averaging, int] = {"image": part.pairs, "point": part.keypoints}
    # The others weigh all categories alike.
    return weights.get(part.averaging, 1)


def _of_status(record: Record) -> Iterator[str]:
    is_finished = record.status in ("ok", "partial")
    failed = sum(info.failed for info in record.localizers.values())
    if record.status == "ok" and (record.failures or failed):
        yield "status is ok, and pairs failed"
    if record.scores and not is_finished:
        yield f"status is {record.status}, and there are scores"
    if record.scores and (record.counts is None or record.cell.fed is None):
        yield "there are scores, and no number of pairs or no size of the image fed"


def _of_counts(record: Record, counts: Counts) -> Iterator[str]:
    if counts.shard:
        yield from _of_shard("counts", counts.shard)
    for name, info in record.localizers.items():
        told = info.pairs + info.failed + counts.excluded
        if told > counts.pairs:
            yield (
                f"localizer {name}: {info.pairs} pairs with predictions, {info.failed} failed and "
                f"{counts.excluded} excluded, of {counts.pairs}"
            )
        for shard in info.shards:
            yield from _of_shard(f"localizer {name}", shard)
        if info.keypoints < info.pairs:
            yield f"localizer {name}: {info.keypoints} keypoints in {info.pairs} pairs"


def _of_shard(where: str, shard: str) -> Iterator[str]:
    number, _, count = shard.partition("/")
    if int(number) > int(count):
        yield f"{where}: there is no shard {shard}"


def _of_score(score: Score, info: LocalizerInfo) -> Iterator[str]:
    if (score.low is None) != (score.high is None):
        yield "an interval has two ends"
    percentages = [score.pck]
    if score.low is not None and score.high is not None:
        if score.low > score.high:
            yield f"the interval's lower end {score.low:g} is above its upper end {score.high:g}"
        percentages += [score.low, score.high]
    if min(percentages) < 0 or max(percentages) > 100:
        yield "a percentage is not from 0 to 100"
    if score.images is not None and not 1 <= score.images <= 2 * score.pairs:
        yield f"{score.images} images in {score.pairs} pairs"
    if score.pairs > info.pairs or score.keypoints > info.keypoints:
        yield (
            f"{score.pairs} pairs and {score.keypoints} keypoints, of {info.pairs} and {info.keypoints} "
            "with predictions"
        )


def _name_of(score: Score) -> str:
    return f"score of {score.localizer}, {score.protocol}, @{score.alpha:g}, {score.slice}"
