"""The hooks, on one screen. A plugin is a module (or object) with some of these functions, marked `@harness.hookimpl`.

Collecting hooks return records (`harness.specs`); return a list. Lifecycle hooks return nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import pluggy

from harness.specs import (
    CommandSpec,
    DatasetSpec,
    ExtractorSpec,
    LocalizerSpec,
    MethodSpec,
    PromptSpec,
    ProtocolSpec,
    WeightSource,
)

if TYPE_CHECKING:
    from harness.records.schema import Record
    from harness.sweep import Cell

BENCH_API = 1
"""Number of this set of hooks. A plugin that needs a certain one says `bench_api = 1` in its module."""

PROJECT = "bench"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def bench_extractors() -> Iterable[ExtractorSpec]:  # type: ignore[empty-body]
    """Feature extractors."""


@hookspec
def bench_localizers() -> Iterable[LocalizerSpec]:  # type: ignore[empty-body]
    """Localizers."""


@hookspec
def bench_prompts() -> Iterable[PromptSpec]:  # type: ignore[empty-body]
    """Prompt types."""


@hookspec
def bench_methods() -> Iterable[MethodSpec]:  # type: ignore[empty-body]
    """Methods: named recipes."""


@hookspec
def bench_datasets() -> Iterable[DatasetSpec]:  # type: ignore[empty-body]
    """Datasets."""


@hookspec
def bench_protocols() -> Iterable[ProtocolSpec]:  # type: ignore[empty-body]
    """Evaluation protocols."""


@hookspec
def bench_weights() -> Iterable[WeightSource]:  # type: ignore[empty-body]
    """Weight sources."""


@hookspec
def bench_commands() -> Iterable[CommandSpec]:  # type: ignore[empty-body]
    """Further commands of `bench`."""


@hookspec
def bench_cell_started(cell: Cell) -> None:
    """A cell is about to run."""


@hookspec
def bench_cell_finished(cell: Cell, record: Record) -> None:
    """A cell has left its record, whatever its status."""


@hookspec
def bench_run_finished(records: Sequence[Record]) -> None:
    """All cells are done."""
