"""What the hooks that report on a run are told of a cell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.specs.common import Scalar


@dataclass(frozen=True, kw_only=True)
class CellSummary:
    """A cell of a run, as `bench_cell_started` and `bench_cell_finished` are given it.

    Attributes:
        id: the cell's name, that of its folder; `record.cell.id` is the same.
        folder: where `record.json` and `predictions.parquet` are, once the cell is done.
        label: the method, with what the user changed of it: `dift[timestep=50]`.
        method, extractor, prompt, matcher: names; prompt and matcher are `none` for a method without one.
        dataset, split: the dataset's name in tables, and the split.
        seed: the cell's seed.
        params: all parameters of extractor and matcher.
        localizers: names of those that were asked for.
        pairs: number of pairs of the whole split.
    """

    id: str
    folder: Path
    label: str
    method: str
    extractor: str
    prompt: str
    dataset: str
    split: str
    seed: int
    params: Mapping[str, Scalar]
    localizers: tuple[str, ...]
    pairs: int
    matcher: str = "none"
