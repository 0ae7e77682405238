"""A card of the gallery without the page's script: what `page.js` draws, drawn once, for the pairs shown at first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

HEIGHT, GAP = 240.0, 8.0
"""Height of both images, and the gap between them, in the drawing's own units."""


@dataclass(frozen=True)
class Mark:
    """One keypoint: where it is in the source, was predicted and truly is, in the drawing's units."""

    name: str
    right: bool
    source: tuple[float, float]
    found: tuple[float, float] | None
    truth: tuple[float, float]


@dataclass(frozen=True)
class Drawing:
    """Two images side by side with their points; `pictures`: number, x, width of each."""

    width: float
    pictures: tuple[tuple[int, float, float], ...]
    marks: tuple[Mark, ...]
    name: str
    score: str
    wrong: str
    text: str


def drawing(card: Mapping[str, Any], method: int, name: str) -> Drawing | None:
    """A card under one method; None where that predicted nothing.

    Args:
        card: see `gallery`; its points are original pixels.
    """
    found = card["found"][method]
    if found is None:
        return None
    widths = [HEIGHT / height * width for width, height in card["sizes"]]
    scales = [HEIGHT / height for _, height in card["sizes"]]
    left = widths[0] + GAP

    def at(point: Sequence[float | None], side: int) -> tuple[float, float] | None:
        x, y = point
        return (
            None
            if x is None or y is None
            else (round(x * scales[side] + side * left, 1), round(y * scales[side], 1))
        )

    marks = []
    for label, source, truth, place, right in zip(
        card["names"], card["source"], card["truth"], found["points"], found["right"], strict=True
    ):
        start, end = at(source, 0), at(truth, 1)
        if start is not None and end is not None:
            marks.append(Mark(label, bool(right), start, at(place, 1), end))
    wrong = ", ".join(mark.name for mark in marks if not mark.right)
    score = (
        f"{sum(found['right'])} of {len(found['right'])} {'point' if len(found['right']) == 1 else 'points'}"
    )
    return Drawing(
        width=round(left + widths[1], 1),
        pictures=(
            (card["pictures"][0], 0.0, round(widths[0], 1)),
            (card["pictures"][1], round(left, 1), round(widths[1], 1)),
        ),
        marks=tuple(marks),
        name=name,
        score=score,
        wrong=wrong,
        text=f"Pair {card['id']}, {name}: {score} correct."
        + (f" Wrong keypoints: {wrong}." if wrong else ""),
    )


def share(card: Mapping[str, Any], method: int) -> float | None:
    """Share of a card's points that a method has right."""
    found = card["found"][method]
    return None if found is None else sum(found["right"]) / len(found["right"])


def first_cards(cards: Sequence[Mapping[str, Any]], methods: int, count: int) -> list[Mapping[str, Any]]:
    """The cards that `page.js` shows at first: most different between the first two methods, or worst of the only one."""
    keyed = []
    for card in cards:
        shares = [share(card, method) for method in range(min(methods, 2))]
        if all(one is not None for one in shares):
            numbers = [one for one in shares if one is not None]
            value = -abs(numbers[0] - numbers[1]) if len(numbers) > 1 else numbers[0]
            keyed.append((round(value, 9), -len(card["names"]), card["id"], card))
    return [card for *_, card in sorted(keyed, key=lambda one: one[:3])[:count]]
