"""Evaluation protocols: the spec that `bench_protocols` collects."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from harness.errors import UserError
from harness.frames import Placement
from harness.specs.bibtex import check_citation
from harness.specs.common import AVERAGINGS, Averaging, Threshold

if TYPE_CHECKING:
    import numpy as np

ProtocolFrame = Literal["stretched", "original", "padded"]

LEAST_ALPHA, MOST_ALPHA = 1e-6, 1e6


def read_alpha(value: float) -> float:
    """An alpha as records and tables keep it, to nine significant digits, so that 0.1 + 0.2 is 0.3.

    Raises:
        ValueError: it is not finite, or no share of any length that a picture has.
    """
    if not LEAST_ALPHA <= value < MOST_ALPHA:
        raise ValueError(f"alpha {value:g} is not from {LEAST_ALPHA:g} to {MOST_ALPHA:g}")
    return float(f"{value:.9g}")


@dataclass(frozen=True, eq=False)
class TargetInFrame:
    """A target image as the function behind a protocol's threshold is given it, in the protocol's frame.

    Attributes:
        points: (N, 2) float64, the true points that count, N at least 1, before any clamping.
        size: width and height of the image; where the frame is padded, of the image without its margins.
        box: (x1, y1, x2, y2) of the object; None where the dataset has none.
        threshold: the length that alpha multiplies by the dataset's choice, for a protocol that changes it.
    """

    points: np.ndarray
    size: tuple[float, float]
    box: tuple[float, float, float, float] | None
    threshold: Threshold = "box"


ThresholdFunction = Callable[[TargetInFrame], "float | None"]
"""Target -> the length that alpha multiplies, in pixels of the protocol's frame; None for one without it."""

OwnThreshold = Threshold | float | ThresholdFunction


@dataclass(frozen=True, kw_only=True)
class ProtocolSpec:
    """The meaning of "correct", as data.

    Attributes:
        frame: `stretched` (the square that the extractor was fed), `original` pixels, or `padded` (a square
            that keeps the aspect ratio).
        strict: whether a point at exactly the threshold is wrong (`<`) or right (`<=`).
        clamp: margin in pixels by which target points are kept inside the frame; None for no clamping.
        averaging: the one that its authors print, and tables unless another is asked for; all four are
            always computed.
        side: side of the padded square in pixels.
        place: where the image lies in the padded square: in its `centre`, or at its top left `corner`.
        whole_pixels: whether true points are cut to whole pixels, first of the image and then of the frame.
        alphas: the thresholds its authors print.
        threshold: what alpha multiplies on every dataset: a length of the target that has a name (`box`,
            `image`, `points`), a number of pixels of the frame, or a function of the target. None leaves it
            to each dataset, as most papers do.
        length: the same in words, where it is a function: `the diagonal of the target's box`. Captions and
            records say it.
        citation: BibTeX of the paper whose evaluation it is, for `bench cite`; empty where there is none.
    """

    name: str
    frame: ProtocolFrame
    strict: bool
    clamp: float | None = None
    averaging: Averaging = "image"
    side: int | None = None
    place: Placement = "centre"
    whole_pixels: bool = False
    alphas: tuple[float, ...] = (0.05, 0.10, 0.15)
    threshold: OwnThreshold | None = None
    length: str = ""
    description: str = ""
    citation: str = ""

    def __post_init__(self) -> None:
        """Raises `UserError` for an unknown frame or average, or a threshold that is no length: numbers would
        be wrong silently.
        """
        check_citation(f"protocol '{self.name}'", self.citation)
        frames = get_args(ProtocolFrame)
        if self.frame not in frames:
            raise UserError(
                f"protocol '{self.name}': unknown frame '{self.frame}'; known: {', '.join(frames)}"
            )
        if self.place not in get_args(Placement):
            known = ", ".join(get_args(Placement))
            raise UserError(f"protocol '{self.name}': unknown place '{self.place}'; known: {known}")
        if self.place != "centre" and self.frame != "padded":
            raise UserError(
                f"protocol '{self.name}': place '{self.place}' is one in a padded square, and its frame is "
                f"{self.frame}; leave it out"
            )
        if self.averaging not in AVERAGINGS:
            known = ", ".join(AVERAGINGS)
            raise UserError(f"protocol '{self.name}': unknown averaging '{self.averaging}'; known: {known}")
        self._check_threshold()
        # A list would do as well, but for the caches that a protocol is a key of.
        object.__setattr__(self, "alphas", tuple(self.alphas))

    def _check_threshold(self) -> None:
        subject, threshold = f"protocol '{self.name}'", self.threshold
        if callable(threshold):
            if not self.length.strip() or not self.length.isprintable():
                raise UserError(f"{subject}: its threshold is a function; say in `length` what it returns")
            return
        if self.length:
            raise UserError(f"{subject}: `length` describes a threshold that is a function; leave it out")
        if threshold is None or threshold in get_args(Threshold):
            return
        if isinstance(threshold, int | float) and not isinstance(threshold, bool):
            if math.isfinite(threshold) and threshold > 0:
                return
            raise UserError(f"{subject}: threshold is {threshold:g} pixels; it must be positive and finite")
        raise UserError(
            f"{subject}: unknown threshold {threshold!r:.40}; known: {', '.join(get_args(Threshold))}, a "
            "number of pixels, or a function of the target"
        )
