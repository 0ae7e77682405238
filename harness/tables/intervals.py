"""The intervals of printed numbers: which kind they are of, and what a caption says of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from harness.messages import counted, listed
from harness.records.schema import Score
from harness.scoring.bootstrap import LEAST_IMAGES
from harness.tables.text import NOTHING

OLD_MARK = "‡"
"""Stands behind an interval of a record of before, which takes pairs as independent."""

OLD_SENTENCE = (
    f"{OLD_MARK} takes pairs as independent, though they share images: too narrow; "
    "`bench rescore RESULTS` makes it anew."
)


def interval_kind(score: Score) -> Literal["images", "pairs"] | None:
    """What a score's interval was drawn from; None where there is no interval."""
    if score.low is None or score.high is None:
        return None
    return "pairs" if score.images is None else "images"


def number_text(score: Score | None) -> str:
    """`50.7 ±1.0`, `50.7 ±1.0‡` of a record of before, `50.7 –` without interval, or an en dash."""
    if score is None:
        return NOTHING
    if score.low is None or score.high is None:
        return f"{score.pck:.1f} {NOTHING}"
    mark = OLD_MARK if interval_kind(score) == "pairs" else ""
    return f"{score.pck:.1f} ±{(score.high - score.low) / 2:.1f}{mark}"


def interval_sentences(scores: Mapping[str, Sequence[Score]]) -> list[str]:
    """Sentences on `±`, `‡`, and numbers without interval; each only where there is such a number.

    Args:
        scores: name of data -> the numbers on it that are printed with their intervals.
    """
    all_scores = [score for of_data in scores.values() for score in of_data]
    sentences = []
    sizes = {}
    for name, of_data in scores.items():
        drawn = [score for score in of_data if interval_kind(score) == "images"]
        if drawn:
            sizes[name] = size_text(drawn)
    if sizes:
        size = next(iter(sizes.values()))
        if len(scores) > 1 and len(set(sizes.values())) > 1:
            size = "; ".join(f"{name}: {size}" for name, size in sizes.items())
        sentences.append(f"± half the 95 % interval: bootstrap over images, {size}.")
    elif has_old(all_scores):
        sentences.append("± half the 95 % interval.")
    if has_old(all_scores):
        sentences.append(OLD_SENTENCE)
    if reasons := _reasons_without(all_scores):
        sentences.append(f"{NOTHING} behind a number: no interval, as {listed(reasons)}.")
    return sentences


def has_old(scores: Iterable[Score]) -> bool:
    """Says whether some interval is of a record of before."""
    return any(interval_kind(score) == "pairs" for score in scores)


def size_text(scores: Iterable[Score]) -> str:
    """`600 pairs of 298 images`; `up to ...` where numbers differ, `600 pairs` where no record says more."""
    sizes = {(score.pairs, score.images or 0) for score in scores}
    pairs = max((size[0] for size in sizes), default=0)
    images = max((size[1] for size in sizes), default=0)
    text = counted(pairs, "pair")
    if images:
        text = f"{text} of {counted(images, 'image')}"
    return f"up to {text}" if len(sizes) > 1 else text


def _reasons_without(scores: Iterable[Score]) -> list[str]:
    """Why some numbers have no interval; nothing where all have one."""
    reasons = set()
    for score in scores:
        if interval_kind(score) is None:
            # Of a record of before, only a single pair has none; or several seeds, whose predictions are not
            # at hand, as a note says.
            is_few = score.pairs < 2 if score.images is None else score.images < LEAST_IMAGES
            alike = "all pairs have the same score, or a note says why"
            reasons.add("there are fewer than ten images" if is_few else alike)
    return sorted(reasons, reverse=True)
