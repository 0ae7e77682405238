"""The page about a GPU, written anew after every part, so that a run that is cut off leaves what it has."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from report import TERA, Row, plain, ratios

from harness.files import replacing


@dataclass
class Target:
    """A number that is wanted.

    Attributes:
        wanted: at least.
        unit: `times` the published way, or `%`.
        value: None until it is measured.
    """

    what: str
    wanted: float
    unit: str
    value: float | None = None

    @property
    def verdict(self) -> str:
        """`met`, `MISSED` or `not measured`."""
        if self.value is None:
            return "not measured"
        return "met" if self.value >= self.wanted else "MISSED"

    def cells(self) -> list[str]:
        """A row of the table of targets."""
        value = "–" if self.value is None else f"{self.value:.1f} {self.unit}"
        return [self.what, f">= {self.wanted:g} {self.unit}", value, self.verdict]


@dataclass
class Table:
    """A table that grows while it is measured."""

    headers: Sequence[str]
    note: str = ""
    rows: list[list[str]] = field(default_factory=list)


@dataclass
class Report:
    """All that a run has found so far.

    Attributes:
        path: the page; None for none.
        head: lines about device, versions and run.
        ceilings: precision -> FLOP/s, of the best product of two matrices.
        precision: that of the run.
        problems: part and reason, of those that were not measured or not to their end.
        quick: whether networks and pictures are small, so that no target can be met or missed.
        failed: whether the two ways disagree, or an error stopped a part.
        is_done: whether all parts had their turn.
    """

    path: Path | None
    precision: str
    quick: bool = False
    head: list[str] = field(default_factory=list)
    targets: dict[str, Target] = field(default_factory=dict)
    ceilings: dict[str, float] = field(default_factory=dict)
    agreements: list[str] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    tables: dict[str, Table] = field(default_factory=dict)
    problems: list[tuple[str, str]] = field(default_factory=list)
    failed: bool = False
    is_done: bool = False

    @property
    def ceiling(self) -> float:
        """FLOP/s that shares are taken of; NaN before it is measured."""
        return self.ceilings.get(self.precision, float("nan"))

    def reach(self, target: str, value: float) -> None:
        """Notes what a target was measured at; small networks say nothing of it."""
        if not self.quick:
            self.targets[target].value = value

    def table(self, title: str, headers: Sequence[str], note: str = "") -> list[list[str]]:
        """Begins a table and returns its rows, to be appended to."""
        self.tables[title] = Table(headers, note)
        return self.tables[title].rows

    def render(self) -> str:
        """The page as Markdown."""
        parts = [*self.head]
        targets = [target.cells() for target in self.targets.values()]
        parts.append(plain(["target", "wanted", "measured", "verdict"], targets))
        if not self.is_done:
            parts.append("**The run had not ended when this was written.**")
        if self.ceilings:
            best = ", ".join(f"{name} {rate / TERA:.3g}" for name, rate in self.ceilings.items())
            parts.append(f"Ceilings, the best product of two square matrices in this run, TFLOP/s: {best}.")
        if self.agreements:
            parts += ["### Both ways agree", "\n".join(f"- {line}" for line in self.agreements)]
        if self.rows:
            parts += ["### Ours and the published way", ratios(self.rows, self.ceiling), _READING]
        for title, table in self.tables.items():
            if table.rows:
                parts += [f"### {title}", plain(table.headers, table.rows)]
                parts += [table.note] if table.note else []
        if self.problems:
            lines = [f"- {part}: {reason}" for part, reason in self.problems]
            parts += ["### Not measured, or not as it should be", "\n".join(lines)]
        return "\n\n".join(parts) + "\n"

    def write(self) -> None:
        """Writes the page, whole or not at all."""
        if self.path:
            with replacing(self.path) as file:
                file.write(self.render().encode("utf-8"))


_READING = (
    "Ratio: published seconds over ours, on the same weights and pictures. Stages are medians of calls that "
    "alternate with the other way's. A whole evaluation is features, points, predictions on disk and scores "
    "with intervals, without loading the networks; of the published way it is features and points alone, "
    "and for DIFT of pictures that are decoded already. Memory is the most that a call needed besides what "
    "was held before."
)


def file_name(device: str) -> str:
    """`gpu-nvidia-h100-80gb-hbm3.md` for `NVIDIA H100 80GB HBM3`: small letters, digits and hyphens alone."""
    words = re.findall("[a-z0-9]+", device.lower())
    return f"gpu-{'-'.join(words)[:80].strip('-') or 'unknown'}.md"
