"""Renders the table of ratios, and tables of growth, as Markdown."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from measuring import Timing
from tabulate import tabulate

MEGABYTE, GIGA = 1e6, 1e9
TERA = 1e12


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        what: a stage, or a whole evaluation.
        unit: what the seconds are for: `picture`, `pair`, `step`.
        ours, published: seconds for one.
        target: least ratio that is wanted; None for none.
        flops: operations for one unit, ours and published; None where they were not counted.
        peaks: bytes besides what was held before, ours and published; None where they were not measured.
        note: what it was measured on.
    """

    what: str
    unit: str
    ours: float
    published: float
    target: float | None = None
    flops: tuple[int, int] | None = None
    peaks: tuple[int, int] | None = None
    note: str = ""

    @classmethod
    def of(
        cls,
        what: str,
        unit: str,
        timings: Mapping[str, Timing],
        units: int,
        target: float | None = None,
        note: str = "",
        other: str = "",
    ) -> Row:
        """From timings `ours` and `published` (or `other`) of calls that did `units` of the work."""
        ours, published = timings["ours"], timings[other or "published"]
        flops = (
            None
            if ours.flops is None or published.flops is None
            else (ours.flops // units, published.flops // units)
        )
        peaks = (
            None
            if ours.peak_bytes is None or published.peak_bytes is None
            else (ours.peak_bytes, published.peak_bytes)
        )
        return cls(what, unit, ours.median / units, published.median / units, target, flops, peaks, note)

    @property
    def ratio(self) -> float:
        """Published seconds over ours."""
        return self.published / self.ours

    @property
    def met(self) -> bool | None:
        """True where the target is met; None without a target."""
        return None if self.target is None else self.ratio >= self.target


def ratios(rows: Iterable[Row], ceiling: float) -> str:
    """The table of ratios. `ceiling` is the FLOP/s of a matrix product in the same run."""
    headers = (
        *("stage", "unit", "ours, s", "published, s", "ratio", "target", "GFLOP, ours : published"),
        *("TFLOP/s (of the ceiling), ours", "published", "peak MB, ours : published", "measured on"),
    )
    return _markdown(headers, [_cells(row, ceiling) for row in rows])


def _cells(row: Row, ceiling: float) -> list[str]:
    target = "" if row.target is None else f"{row.target:g}: {'met' if row.met else 'MISSED'}"
    flops = row.flops or ()
    rates = [count / taken for count, taken in zip(flops, (row.ours, row.published), strict=False)]
    return [
        *(row.what, row.unit, seconds(row.ours), seconds(row.published), f"{row.ratio:.1f}", target),
        " : ".join(f"{count / GIGA:.3g}" for count in flops),
        *([f"{rate / TERA:.3f} ({100 * rate / ceiling:.0f} %)" for rate in rates] or ["", ""]),
        " : ".join(f"{peak / MEGABYTE:.0f}" for peak in row.peaks or ()),
        row.note,
    ]


@dataclass(frozen=True)
class Growth:
    """Growth of seconds with one quantity.

    Attributes:
        title: what grows, with what.
        quantity: the heading of the first column.
        seconds: way -> seconds for each value.
        values: of the quantity, in order.
        note: what it was measured on.
    """

    title: str
    quantity: str
    values: Sequence[object]
    seconds: Mapping[str, Sequence[float]]
    note: str = ""

    def render(self) -> str:
        """Seconds, and times the first row."""
        headers = [self.quantity, *(heading for way in self.seconds for heading in (f"{way}, s", "x first"))]
        rows = [
            [
                str(value),
                *(
                    cell
                    for column in self.seconds.values()
                    for cell in (seconds(column[at]), f"{column[at] / column[0]:.2f}")
                ),
            ]
            for at, value in enumerate(self.values)
        ]
        return f"### {self.title}\n\n{_markdown(headers, rows)}" + (f"\n\n{self.note}" if self.note else "")


def plain(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Any other table."""
    return _markdown(headers, rows)


def seconds(value: float) -> str:
    """Three digits."""
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def load() -> str:
    """Running processes, mean of the last minute; empty where the system does not say."""
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""


def _markdown(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return tabulate(rows, headers, tablefmt="pipe", disable_numparse=True)
