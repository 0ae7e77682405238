"""The hooks, on one screen.

A plugin is a module (or object) with some of these functions, marked `@harness.hookimpl`. Collecting hooks
return a list of specs (`harness.specs`); lifecycle hooks return nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import pluggy

from harness.specs import (
    CellSummary,
    CommandSpec,
    DatasetSpec,
    ExtractorSpec,
    LocalizerSpec,
    MatcherSpec,
    MethodSpec,
    PromptSpec,
    ProtocolSpec,
    ReportedSpec,
    TrainerSpec,
    WeightSource,
)

if TYPE_CHECKING:
    from harness.records.schema import Record

BENCH_API = 1
"""Number of this set of hooks. A plugin that needs a certain one says `bench_api = 1` in its module."""

PROJECT = "bench"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def bench_extractors() -> Iterable[ExtractorSpec]:  # type: ignore[empty-body]
    """Returns further feature extractors."""


@hookspec
def bench_localizers() -> Iterable[LocalizerSpec]:  # type: ignore[empty-body]
    """Returns further localizers."""


@hookspec
def bench_matchers() -> Iterable[MatcherSpec]:  # type: ignore[empty-body]
    """Returns further matchers."""


@hookspec
def bench_prompts() -> Iterable[PromptSpec]:  # type: ignore[empty-body]
    """Returns further prompt types."""


@hookspec
def bench_methods() -> Iterable[MethodSpec]:  # type: ignore[empty-body]
    """Returns further methods: named recipes of extractor, prompt, matcher and localizer."""


@hookspec
def bench_datasets() -> Iterable[DatasetSpec]:  # type: ignore[empty-body]
    """Returns further datasets."""


@hookspec
def bench_protocols() -> Iterable[ProtocolSpec]:  # type: ignore[empty-body]
    """Returns further evaluation protocols."""


@hookspec
def bench_weights() -> Iterable[WeightSource]:  # type: ignore[empty-body]
    """Returns further weight sources."""


@hookspec
def bench_reported() -> Iterable[ReportedSpec]:  # type: ignore[empty-body]
    """Returns further numbers that papers printed."""


@hookspec
def bench_commands() -> Iterable[CommandSpec]:  # type: ignore[empty-body]
    """Returns further commands of `bench`."""


@hookspec
def bench_trainers() -> Iterable[TrainerSpec]:  # type: ignore[empty-body]
    """Returns further trainings for `bench train`."""


@hookspec
def bench_cell_started(cell: CellSummary) -> None:
    """Called when a cell is about to run, or has been found finished."""


@hookspec
def bench_cell_finished(cell: CellSummary, record: Record) -> None:
    """Called when a cell has left its record, whatever its status."""


@hookspec
def bench_run_finished(records: Sequence[Record]) -> None:
    """Called when all cells are done."""
