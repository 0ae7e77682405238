"""Evaluation protocols: the spec that `bench_protocols` collects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class ProtocolSpec:
    """The meaning of "correct", as data.

    Attributes:
        frame: `stretched` (the square that the extractor was fed), `original` pixels, or `padded` (a square
            that keeps the aspect ratio).
        strict: whether a point at exactly the threshold is wrong (`<`) or right (`<=`).
        clamp: margin in pixels by which target points are kept inside the frame; None for no clamping.
        averaging: the one that its authors print; both are always computed.
        side: side of the padded square in pixels.
        alphas: the thresholds its authors print.
    """

    name: str
    frame: Literal["stretched", "original", "padded"]
    strict: bool
    clamp: float | None = None
    averaging: Literal["image", "point"] = "image"
    side: int | None = None
    alphas: tuple[float, ...] = (0.05, 0.10, 0.15)
    description: str = ""
