"""A card of the gallery as `page.js` draws it, drawn once without the script, for the first pairs of a page.

A card is what the page stores of a pair; `gallery` describes its fields. Its points are original pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.messages import counted

HEIGHT, GAP = 240.0, 8.0
"""Height of both images, and the gap between them, in the drawing's own units."""


@dataclass(frozen=True)
class KeypointMark:
    """One keypoint's source, prediction and truth in the drawing's units; `prediction` may be missing."""

    name: str
    is_correct: bool
    source: tuple[float, float]
    prediction: tuple[float, float] | None
    truth: tuple[float, float]


@dataclass(frozen=True)
class CardDrawing:
    """Two images side by side with their points.

    Attributes:
        width: in the drawing's units.
        pictures: number in the page, x and width of each image.
        name: the method.
        score: `3 of 5 points`.
        wrong: names of the keypoints that are wrong, with commas.
        text: the drawing's accessible name.
    """

    width: float
    pictures: tuple[tuple[int, float, float], ...]
    marks: tuple[KeypointMark, ...]
    name: str
    score: str
    wrong: str
    text: str


def draw_card(card: Mapping[str, Any], method: int, name: str) -> CardDrawing | None:
    """Draws a card under one method.

    Args:
        method: number of the method in the gallery.
        name: its title.

    Returns:
        None where the method predicted nothing.
    """
    predictions = card["found"][method]
    if predictions is None:
        return None
    scales, widths = [], []
    for width, height in card["sizes"]:
        scale = HEIGHT / height
        scales.append(scale)
        widths.append(scale * width)
    target_left = widths[0] + GAP

    marks = []
    keypoints = zip(card["names"], card["source"], card["truth"], strict=True)
    results = zip(predictions["points"], predictions["right"], strict=True)
    for (keypoint, source, truth), (prediction, is_correct) in zip(keypoints, results, strict=True):
        start = _position(source, scales[0], 0)
        end = _position(truth, scales[1], target_left)
        if start is not None and end is not None:
            predicted = _position(prediction, scales[1], target_left)
            marks.append(KeypointMark(keypoint, bool(is_correct), start, predicted, end))
    wrong_names = []
    for mark in marks:
        if not mark.is_correct:
            wrong_names.append(mark.name)
    wrong = ", ".join(wrong_names)
    # Of all points: one without a finite position cannot be drawn, but is counted.
    flags = predictions["right"]
    score = f"{sum(flags)} of {counted(len(flags), 'point')}"
    text = f"Pair {card['id']}, {name}: {score} correct."
    if wrong:
        text += f" Wrong keypoints: {wrong}."
    # Rounded at the end alone, or errors of rounding would add up.
    source_number, target_number = card["pictures"]
    source_picture = (source_number, 0.0, round(widths[0], 1))
    target_picture = (target_number, round(target_left, 1), round(widths[1], 1))
    return CardDrawing(
        width=round(target_left + widths[1], 1),
        pictures=(source_picture, target_picture),
        marks=tuple(marks),
        name=name,
        score=score,
        wrong=wrong,
        text=text,
    )


def _position(point: Sequence[float | None], scale: float, left: float) -> tuple[float, float] | None:
    """Position of an image's point in the drawing; None where the point is not finite.

    Args:
        left: the image's own position.
    """
    x, y = point
    if x is None or y is None:
        return None
    return round(x * scale + left, 1), round(y * scale, 1)


def correct_share(card: Mapping[str, Any], method: int) -> float | None:
    """Share of a card's points that a method predicts correctly, None where it predicted nothing."""
    predictions = card["found"][method]
    if predictions is None:
        return None
    flags: Sequence[int] = predictions["right"]
    return sum(flags) / len(flags)


def first_cards(cards: Sequence[Mapping[str, Any]], methods: int, count: int) -> list[Mapping[str, Any]]:
    """Chooses the cards that `page.js` shows at first.

    They are those that differ most between the first two methods, or the worst ones of the only method.
    Ties go to the card with more points, then by id.
    """
    ranked = []
    for card in cards:
        order = _card_order(card, methods)
        if order is not None:
            # Rounded as in the script, so that both see the same ties.
            ranked.append((round(order, 9), -len(card["names"]), card["id"], card))
    # Without the card itself, a mapping, which has no order.
    ranked.sort(key=lambda item: item[:3])
    return [card for *_, card in ranked[:count]]


def _card_order(card: Mapping[str, Any], methods: int) -> float | None:
    """The place of a card, low values first; None where one of its methods predicted nothing."""
    share = correct_share(card, 0)
    if methods < 2 or share is None:
        return share
    second_share = correct_share(card, 1)
    if second_share is None:
        return None
    return -abs(share - second_share)
