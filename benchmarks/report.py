"""Renders the table of ratios, and tables of growth, as Markdown."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
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
        flops = peaks = None
        if ours.flops is not None and published.flops is not None:
            flops = (ours.flops // units, published.flops // units)
        # Memory is that of the whole call, whatever number of units it did.
        if ours.peak_bytes is not None and published.peak_bytes is not None:
            peaks = (ours.peak_bytes, published.peak_bytes)
        return cls(what, unit, ours.median / units, published.median / units, target, flops, peaks, note)

    @property
    def ratio(self) -> float:
        """Published seconds over ours."""
        return self.published / self.ours

    @property
    def met(self) -> bool | None:
        """True where the target is met; None without a target."""
        if self.target is None:
            return None
        return self.ratio >= self.target


def ratios(rows: Iterable[Row], ceiling: float) -> str:
    """The table of ratios. `ceiling` is the FLOP/s of a matrix product in the same run."""
    headers = (
        *("stage", "unit", "ours, s", "published, s", "ratio", "target", "GFLOP, ours : published"),
        *("TFLOP/s (of the ceiling), ours", "published", "peak MB, ours : published", "measured on"),
    )
    return _markdown(headers, [_cells(row, ceiling) for row in rows])


def _cells(row: Row, ceiling: float) -> list[str]:
    target = operations = our_rate = published_rate = peaks = ""
    if row.target is not None:
        verdict = "met" if row.met else "MISSED"
        target = f"{row.target:g}: {verdict}"
    if row.flops:
        ours, published = row.flops
        operations = f"{ours / GIGA:.3g} : {published / GIGA:.3g}"
        our_rate = _rate(ours / row.ours, ceiling)
        published_rate = _rate(published / row.published, ceiling)
    if row.peaks:
        peaks = " : ".join(f"{peak / MEGABYTE:.0f}" for peak in row.peaks)
    return [
        row.what,
        row.unit,
        seconds(row.ours),
        seconds(row.published),
        f"{row.ratio:.1f}",
        target,
        operations,
        our_rate,
        published_rate,
        peaks,
        row.note,
    ]


def _rate(rate: float, ceiling: float) -> str:
    """A rate in TFLOP/s and its share of the ceiling; both arguments are in FLOP/s."""
    return f"{rate / TERA:.3f} ({100 * rate / ceiling:.0f} %)"


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
        headers = [self.quantity]
        rows = [[str(value)] for value in self.values]
        for way, column in self.seconds.items():
            headers += [f"{way}, s", "x first"]
            for row, value in zip(rows, column, strict=True):
                row += [seconds(value), f"{value / column[0]:.2f}"]
        text = f"### {self.title}\n\n{_markdown(headers, rows)}"
        if self.note:
            text += f"\n\n{self.note}"
        return text


def plain(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Any other table."""
    return _markdown(headers, rows)


def seconds(value: float) -> str:
    """Three digits."""
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def load() -> str:
    """Running processes, mean of the last minute; empty where the system does not say."""
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""


def publish(text: str, out: Path | None) -> None:
    """Prints a page, and writes it to a file where one is given."""
    click.echo(text, nl=False)
    if out:
        save(text, out)


def save(text: str, out: Path) -> None:
    """Writes a page, and the folders that lead to it."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text, encoding="utf-8")


def _markdown(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    # tabulate would print texts that look like numbers with digits of its own choice.
    return tabulate(rows, headers, tablefmt="pipe", disable_numparse=True)
