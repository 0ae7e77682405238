"""Evaluation protocols: the spec that `bench_protocols` collects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from harness.errors import UserError
from harness.specs.common import AVERAGINGS, Averaging

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
        alphas: the thresholds its authors print.
    """

    name: str
    frame: ProtocolFrame
    strict: bool
    clamp: float | None = None
    averaging: Averaging = "image"
    side: int | None = None
    alphas: tuple[float, ...] = (0.05, 0.10, 0.15)
    description: str = ""

    def __post_init__(self) -> None:
        """Raises `UserError` for an unknown frame or average: numbers would be wrong silently."""
        frames = get_args(ProtocolFrame)
        if self.frame not in frames:
            raise UserError(
                f"protocol '{self.name}': unknown frame '{self.frame}'; known: {', '.join(frames)}"
            )
        if self.averaging not in AVERAGINGS:
            known = ", ".join(AVERAGINGS)
            raise UserError(f"protocol '{self.name}': unknown averaging '{self.averaging}'; known: {known}")
