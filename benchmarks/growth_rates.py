"""Rates at which a command's seconds and memory grow: exponents of the last doubling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import report

LINEAR = 1.1
"""Exponents above are worse than linear; what is between 1 and this is told by no measurement."""

LITTLE = 0.5
"""Of the start: what is added over the last two doublings, below which it says nothing of large sizes."""

NOISE = 0.1
"""Of the start: what two equal runs differ by."""


@dataclass(frozen=True)
class Series:
    """Cost of one command at growing sizes.

    Attributes:
        quantity: what grows.
        command: as the user gives it.
        sizes: in order, the last three of them doublings.
        seconds, megabytes: of the processor, and at most; one for each size.
        start: seconds and megabytes of the same command on next to nothing.
    """

    quantity: str
    command: str
    sizes: Sequence[float]
    seconds: Sequence[float]
    megabytes: Sequence[float]
    start: tuple[float, float]

    @property
    def time_exponent(self) -> float | None:
        """Exponent of the seconds beyond the start; None where they hardly grow."""
        return _exponent(self.sizes, self.seconds, self.start[0])

    @property
    def memory_exponent(self) -> float | None:
        """Exponent of the memory beyond the start; None where it hardly grows."""
        return _exponent(self.sizes, self.megabytes, self.start[1])

    @property
    def verdict(self) -> str:
        """Says what grows worse than linear; empty where nothing does."""
        worse = []
        for name, exponent in (("seconds", self.time_exponent), ("memory", self.memory_exponent)):
            if exponent is not None and exponent > LINEAR:
                worse.append(name)
        return f"worse than linear: {' and '.join(worse)}" if worse else ""


def _exponent(sizes: Sequence[float], values: Sequence[float], start: float) -> float | None:
    """Slope between the last size and the one before, of logarithms.

    Not over more sizes: another way of computing, which begins at some size, would count as growth.
    """
    if len(sizes) < 2 or values[-1] - values[-min(3, len(sizes))] < LITTLE * start:
        return None
    # A smaller difference from the start might be the machine's whim, and a quotient by it anything.
    low, high = (max(value - start, NOISE * start) for value in values[-2:])
    return math.log(high / low) / math.log(sizes[-1] / sizes[-2])


HEADERS = (
    *("grows with", "bench", "values", "start, s", "s of the processor", "exponent"),
    *("start, MB", "peak MB", "exponent", ""),
)


def tabulate_series(series: Sequence[Series]) -> str:
    """The table, a row for each series."""
    rows = []
    for one in series:
        rows.append(
            [
                one.quantity,
                one.command,
                _joined(one.sizes, "{:,.0f}"),
                report.seconds(one.start[0]),
                " · ".join(map(report.seconds, one.seconds)),
                _shown(one.time_exponent),
                f"{one.start[1]:.0f}",
                _joined(one.megabytes, "{:.0f}"),
                _shown(one.memory_exponent),
                one.verdict,
            ]
        )
    return report.plain(HEADERS, rows)


def _joined(values: Sequence[float], form: str) -> str:
    return " · ".join(form.format(value) for value in values)


def _shown(exponent: float | None) -> str:
    return "–" if exponent is None else f"{exponent:.2f}"


def conclude(series: Sequence[Series], quantity: str) -> str:
    """One line: whether anything grows worse than linear with a quantity, and with others."""
    worse = [one for one in series if one.verdict]
    with_it = [
        f"{one.command} ({one.verdict.partition(': ')[2]})" for one in worse if one.quantity == quantity
    ]
    others = [f"{one.command} with {one.quantity}" for one in worse if one.quantity != quantity]
    told = f"Worse than linear with {quantity}: {', '.join(with_it) or 'nothing'}."
    return f"{told} With other quantities: {', '.join(others) or 'nothing'}."
