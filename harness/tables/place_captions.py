"""What captions say of places: what they mean, and the least difference that they could have found."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from harness.messages import counted
from harness.scoring.bootstrap import LEAST_IMAGES
from harness.tables.row import Places, RowDifference


def place_text(best: int, worst: int) -> str:
    """`2`, or `1-3`."""
    return str(best) if best == worst else f"{best}-{worst}"


def place_sentences(places: Places, number: str, said: str) -> list[str]:
    """Sentences on the places of tested rows.

    Args:
        number: what rows are in order of: `PCK at alpha 0.10`.
        said: the caption's sentences so far; images and pairs that stand there are not told again.
    """
    drawn = compared_text(places)
    if not are_known(places):
        return [
            f"Rows are in order of {number} and share their places: {drawn} cannot tell them apart "
            f"({unknown_text(places)})."
        ]
    source = "" if f"bootstrap over images, {drawn}." in said else f" (bootstrap over images, {drawn})"
    return [
        f"Places are by {number}, as 95 % intervals that hold for all rows together{source}: "
        f"{_example(places)}.",
        *detectable_sentences(places.differences),
    ]


def are_known(places: Places) -> bool:
    """Says whether some two rows could be told apart: with images enough, which do not all say the same."""
    return any(difference.low is not None for difference in places.differences)


def unknown_text(places: Places) -> str:
    """Why no two rows can be told apart."""
    if places.images < LEAST_IMAGES:
        return f"it takes {LEAST_IMAGES} images at least"
    return "two rows differ by the same on all pairs, which tells nothing of others"


def compared_text(places: Places) -> str:
    """`600 pairs of 298 images`."""
    return f"{counted(places.pairs, 'pair')} of {counted(places.images, 'image')}"


def detectable_sentences(differences: Sequence[RowDifference]) -> list[str]:
    """A sentence on the least true difference that would have been found; none where it is unknown."""
    sizes = [each.detectable for each in differences if each.detectable is not None]
    if not sizes:
        return []
    least, middle, most = (f"{size:.1f}" for size in (min(sizes), statistics.median(sizes), max(sizes)))
    spread = f" ({least} to {most}, by the rows)" if least != most else ""
    return [f"Four of five such comparisons find a true difference of {middle} points{spread}."]


def _example(places: Places) -> str:
    """What a place says, by the first that is no single number."""
    for best, worst in zip(places.best, places.worst, strict=True):
        if best < worst:
            place = place_text(best, worst)
            if best == 1:
                return (
                    f"a row at {place} may be the best, and has at most {counted(worst - 1, 'row')} above it"
                )
            above = f"{best - 1} to {counted(worst - 1, 'row')}"
            return f"a row at {place} has {above} above it"
    return "every row is told apart from every other"
