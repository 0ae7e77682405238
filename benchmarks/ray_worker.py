"""What a worker of either way does: predicts units of pairs, and may be ended in the middle by a fault."""

from __future__ import annotations

import os
import pickle
import queue
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from harness.datasets.splits import SplitIndex
from harness.running.predict import Prediction, predict
from harness.running.resolve import ResolvedCell
from harness.specs import SharedObjects

KEYS = ("pair_id", "keypoint_id", "localizer")


class Fault(NamedTuple):
    """How a worker ends when it comes to a pair.

    Attributes:
        pair_id: empty for no fault.
        leaves: whether it calls `sys.exit(0)`, as a plugin may; otherwise it is ended by SIGKILL.
        is_repeated: whether that happens each time, and not the first time alone.
    """

    pair_id: str = ""
    leaves: bool = False
    is_repeated: bool = False


@dataclass(frozen=True)
class Job:
    """What all workers of a run know.

    Attributes:
        cell: a pickled `ResolvedCell`.
        folder: workers write there when they began which pair.
    """

    cell: bytes
    folder: Path
    fault: Fault


class Worker:
    """Holds a cell's networks, and predicts units of pairs."""

    def __init__(self, job: Job) -> None:
        self._shared = SharedObjects()
        self._log = job.folder / f"{os.getpid()}.log"
        self._cell: ResolvedCell = pickle.loads(job.cell)
        watched: Any = _Watched(self._cell.index, self._log, job)
        self._cell = replace(self._cell, index=watched)

    def predict(self, pair_ids: Sequence[str]) -> Iterator[pa.Table]:
        """Predicts a unit. Yields a table every few dozen pairs, as soon as it is there."""
        tables: queue.Queue[pa.Table | BaseException | None] = queue.Queue()
        wanted = {pair_id: list(self._cell.localizers) for pair_id in pair_ids}

        def work() -> None:
            try:
                predict(
                    self._cell,
                    wanted,
                    lambda made: tables.put(table_of(self._cell, made)),
                    None,
                    self._shared,
                )
                tables.put(None)
            # Raised again where the tables are read, as if there were no thread.
            except BaseException as error:  # noqa: BLE001
                tables.put(error)

        threading.Thread(target=work, daemon=True).start()
        while (item := tables.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            if item.num_rows:
                yield item


class _Watched:
    """The pairs of a split; notes when each is asked for, and brings the fault about."""

    def __init__(self, index: SplitIndex, log: Path, job: Job) -> None:
        self._index, self._log, self._job = index, log, job

    def __getattr__(self, name: str) -> Any:
        return getattr(self._index, name)

    def source_points(self, pair_id: str) -> Any:
        with self._log.open("a", encoding="utf-8") as file:
            file.write(f"{time.time()} {pair_id}\n")
        fault = self._job.fault
        if pair_id == fault.pair_id:
            mark = self._job.folder / "fault"
            if fault.is_repeated or not mark.exists():
                mark.touch()
                if fault.leaves:
                    sys.exit(0)
                os.kill(os.getpid(), signal.SIGKILL)
        return self._index.source_points(pair_id)


def table_of(cell: ResolvedCell, predictions: Sequence[Prediction]) -> pa.Table:
    """Puts predictions into a table, a row for each point."""
    columns: dict[str, list[Any]] = {name: [] for name in (*KEYS, "x", "y", "score")}
    for prediction in predictions:
        names = cell.index.keypoint_ids(prediction.pair_id)
        columns["pair_id"] += [prediction.pair_id] * len(names)
        columns["keypoint_id"] += names
        columns["localizer"] += [prediction.localizer] * len(names)
        columns["x"] += prediction.located.points[:, 0].tolist()
        columns["y"] += prediction.located.points[:, 1].tolist()
        columns["score"] += prediction.located.score.tolist()
    return pa.table(columns)


def to_bytes(table: pa.Table) -> bytes:
    """Writes a table in Arrow's format for streams."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def from_bytes(content: bytes) -> pa.Table:
    """Reads what `to_bytes` wrote."""
    return pa.ipc.open_stream(content).read_all()


def begun(folder: Path) -> list[tuple[float, str]]:
    """Time (seconds since 1970) and pair of each pair that a worker began, in the order of time."""
    lines: list[tuple[float, str]] = []
    for path in folder.glob("*.log"):
        for line in path.read_text(encoding="utf-8").splitlines():
            when, pair_id = line.split(maxsplit=1)
            lines.append((float(when), pair_id))
    return sorted(lines)
