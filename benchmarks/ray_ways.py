"""One run by Ray core actors or by Ray Data, in a process and on a cluster of its own.

`python benchmarks/ray_ways.py TASK`, where TASK is a JSON file (`Task`): started by `ray_data.py`.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import ray
from ray.exceptions import RayActorError
from ray_worker import Fault, Job, Worker, from_bytes, to_bytes

WORKERS = 2
UNIT_PAIRS = 60

CORE = "core"
DATA = {
    "data": {},
    "data, errors tolerated": {"max_errored_blocks": -1},
    "data, errors tolerated, 2 retries": {"max_errored_blocks": -1, "max_task_retries": 2},
    "data, errors tolerated, no restarts": {"max_errored_blocks": -1, "max_restarts": 0},
    "data, pool of 1 to 2, errors tolerated, no restarts": {
        "pool": (1, 2),
        "max_errored_blocks": -1,
        "max_restarts": 0,
    },
}
"""Ways of Ray Data: with its defaults and a fixed pool of two actors, and with what is said besides."""

MOST_DEATHS = 3
"""Workers that a pair may cost before it is given up (core actors)."""


@dataclass(frozen=True)
class Task:
    """What one run is told.

    Attributes:
        cell: file with the pickled cell.
        folder: empty; gets tables, logs of workers, and at the end `result.json`.
        way: `core`, or one of `DATA`.
        fault: fields of a `Fault`.
    """

    cell: str
    folder: str
    way: str
    pair_ids: Sequence[str]
    fault: tuple[Any, ...] = ()


@dataclass
class Result:
    """How a run went.

    Attributes:
        cluster_seconds: until the cluster ran.
        began, ended: seconds since 1970, of the first unit handed out and the last table written.
        failed: pairs that were given up by name.
        error: what the run ended with, if not well.
    """

    cluster_seconds: float = 0
    began: float = 0
    ended: float = 0
    failed: tuple[str, ...] = ()
    error: str = ""


def cut(pair_ids: Sequence[str]) -> list[list[str]]:
    """Cuts a list of pairs into units."""
    return [list(pair_ids[start : start + UNIT_PAIRS]) for start in range(0, len(pair_ids), UNIT_PAIRS)]


@ray.remote(num_cpus=1)
class _Actor:
    def __init__(self, job: Job) -> None:
        self._worker = Worker(job)

    def predict(self, pair_ids: Sequence[str]) -> Iterator[bytes]:
        for table in self._worker.predict(pair_ids):
            yield to_bytes(table)


class CoreActors:
    """Hands units to actors, and again what is missing of a unit whose actor died.

    Attributes:
        failed: pairs that were given up.
    """

    def __init__(self, job: Job, units: Sequence[Sequence[str]]) -> None:
        self.failed: list[str] = []
        self._job = ray.put(job)
        self._waiting = deque(list(unit) for unit in units)
        self._deaths: Counter[str] = Counter()
        # Stream -> actor and pairs that are missing.
        self._running: dict[Any, tuple[Any, list[str]]] = {}

    def tables(self) -> Iterator[pa.Table]:
        """Yields tables as they come."""
        idle = [_Actor.remote(self._job) for _ in range(WORKERS)]
        while self._waiting or self._running:
            while idle and self._waiting:
                actor, pair_ids = idle.pop(), self._waiting.popleft()
                stream = actor.predict.options(num_returns="streaming").remote(pair_ids)
                self._running[stream] = (actor, pair_ids)
            (stream,), _ = ray.wait(list(self._running), num_returns=1)
            actor, missing = self._running[stream]
            try:
                table = from_bytes(ray.get(next(stream)))
            except StopIteration:
                del self._running[stream]
                idle.append(actor)
            except RayActorError:
                del self._running[stream]
                # Ray restarts one that was killed, and none that left by itself: a new one does for both.
                ray.kill(actor)
                idle.append(_Actor.remote(self._job))
                self._bring_back(missing)
            else:
                done = set(table["pair_id"].to_pylist())
                missing[:] = [pair_id for pair_id in missing if pair_id not in done]
                yield table

    def _bring_back(self, missing: Sequence[str]) -> None:
        """Lines up the missing pairs of a unit whose actor died: halved where that was not the first time."""
        self._deaths.update(missing)
        deaths = max((self._deaths[pair_id] for pair_id in missing), default=0)
        if len(missing) == 1 and deaths >= MOST_DEATHS:
            self.failed += missing
        elif len(missing) > 1 and deaths > 1:
            middle = len(missing) // 2
            self._waiting.extend((list(missing[:middle]), list(missing[middle:])))
        elif missing:
            self._waiting.append(list(missing))


class Predictor:
    """What `map_batches` calls with a unit."""

    def __init__(self, job: Job, units: Sequence[Sequence[str]]) -> None:
        self._worker, self._units = Worker(job), units

    def __call__(self, batch: dict[str, Any]) -> Iterator[pa.Table]:
        for number in batch["unit"]:
            yield from self._worker.predict(self._units[number])


def data_tables(job: Job, units: Sequence[Sequence[str]], options: dict[str, Any]) -> Iterator[pa.Table]:
    """Yields tables as Ray Data hands them out."""
    import ray.data

    options = dict(options)
    least, most = options.pop("pool", (WORKERS, WORKERS))
    context = ray.data.DataContext.get_current()
    context.max_errored_blocks = options.pop("max_errored_blocks", context.max_errored_blocks)
    rows = [{"unit": number} for number in range(len(units))]
    dataset = ray.data.from_items(rows, override_num_blocks=len(units)).map_batches(
        Predictor,
        fn_constructor_args=(job, units),
        compute=ray.data.ActorPoolStrategy(min_size=least, max_size=most),
        batch_size=None,
        num_cpus=1,
        **options,
    )
    yield from dataset.iter_batches(batch_size=None, batch_format="pyarrow")


def start_cluster() -> None:
    """Starts Ray on this machine. Ray waits half a minute for itself, which a busy machine may exceed."""
    for trials_left in reversed(range(5)):
        try:
            ray.init(
                address="local",
                num_cpus=WORKERS,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                object_store_memory=512 << 20,
            )
            return
        # Ray raises no kind of its own.
        except Exception as error:
            if "timed out during startup" not in str(error) or not trials_left:
                raise
            ray.shutdown()


def run(task: Task, result: Result) -> None:
    """Runs a task. Each table is written when it comes, by this process alone."""
    folder = Path(task.folder)
    started = time.monotonic()
    start_cluster()
    result.cluster_seconds = time.monotonic() - started
    job = Job(Path(task.cell).read_bytes(), folder, Fault(*task.fault))
    units = cut(task.pair_ids)
    result.began = time.time()
    actors = CoreActors(job, units)
    tables = actors.tables() if task.way == CORE else data_tables(job, units, DATA[task.way])
    write_all(tables, folder, lambda: setattr(result, "ended", time.time()))
    result.failed = tuple(actors.failed)


def write_all(tables: Iterator[pa.Table], folder: Path, written: Callable[[], None]) -> None:
    """Writes each table into a file of its own."""
    for number, table in enumerate(tables):
        temporary = folder / "table.tmp"
        pq.write_table(table, temporary)
        temporary.rename(folder / f"{number:04d}.parquet")
        written()


def main() -> None:
    """Run a task."""
    task = Task(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    result = Result()
    try:
        run(task, result)
    # Whatever a way ends with is a result of the measurement.
    except Exception as error:  # noqa: BLE001
        result.error = f"{type(error).__name__}: {error}"
    (Path(task.folder) / "result.json").write_text(json.dumps(asdict(result)), encoding="utf-8")


if __name__ == "__main__":
    main()
