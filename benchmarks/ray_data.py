"""Measures Ray core actors beside Ray Data: the same pairs, undisturbed and with workers that die.

`python benchmarks/ray_data.py`, with `ray[data]` installed besides the package. Twenty minutes on two cores.
Each run has a driver process and a cluster of its own, and is ended where it does not come to an end.
"""

from __future__ import annotations

import json
import os
import pickle
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import ray
import report
from ray_ways import CORE, DATA, UNIT_PAIRS, WORKERS, Task, cut
from ray_worker import KEYS, Fault, Job, Worker, begun

from harness.plugins.loading import load_plugins
from harness.running.plan import plan
from harness.running.resolve import ResolvedCell, resolve_cell
from harness.running.resources import Resources, RunOptions
from harness.sweep import DatasetChoice, Sweep

MOST_DEATHS = 12
"""Workers that one pair may cost before a run is taken for endless; halving a unit of 60 costs fewer."""

DEATH_HEADERS = ("what happens", "way", "end", "arrive", "twice", "failed", "begun again", "same bits")


@dataclass(frozen=True)
class Run:
    """What was seen of one run.

    Attributes:
        start: seconds from the first unit handed out until a worker began a pair.
        work: seconds from there to the last table written; 0 where there is none.
        processor: seconds of all processes together, those of loading included.
        peak_bytes: the most memory of driver, Ray's processes and workers together; what they share is
            counted once.
        begun: number of times that a worker began a pair.
        arrived: pairs written; `twice` of them more than once.
        is_same: whether the rows of all pairs that arrived are those of a run without Ray.
        failed: pairs that were given up by name.
        end: `complete`, or what happened instead.
    """

    start: float
    work: float
    processor: float
    peak_bytes: int
    begun: int
    arrived: int
    twice: int
    is_same: bool
    failed: int
    end: str


class Watch:
    """Reads memory and time of a process and all that it has started."""

    def __init__(self, pid: int) -> None:
        self.peak_bytes = 0
        self._seconds: dict[int, float] = {}
        self._process = psutil.Process(pid)

    @property
    def processor(self) -> float:
        """Seconds of all processes that were ever seen."""
        return sum(self._seconds.values())

    def look(self) -> list[psutil.Process]:
        """Reads them once, and returns the processes there are."""
        try:
            processes = [self._process, *self._process.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []
        total = 0
        for process in processes:
            try:
                total += process.memory_full_info().pss
                times = process.cpu_times()
            except (psutil.NoSuchProcess, psutil.AccessDenied, OSError):
                continue
            self._seconds[process.pid] = times.user + times.system
        self.peak_bytes = max(self.peak_bytes, total)
        return processes


class Progress:
    """Says when a run will not come to an end.

    Attributes:
        problem: what is wrong; empty as long as the run goes on.
    """

    def __init__(self, folder: Path, fault: Fault | None, limit: float) -> None:
        self.problem = ""
        self._folder, self._fault, self._limit = folder, fault or Fault(), limit
        self._seen, self._since = (0, 0), time.monotonic()

    def look(self) -> None:
        """Looks at what workers have begun and what has been written."""
        log = [pair_id for _, pair_id in begun(self._folder)]
        seen = (len(log), sum(1 for _ in self._folder.glob("*.parquet")))
        if seen != self._seen:
            self._seen, self._since = seen, time.monotonic()
        deaths = log.count(self._fault.pair_id)
        if deaths > MOST_DEATHS:
            self.problem = f"goes on without end: the pair has cost {deaths} workers"
        elif time.monotonic() - self._since > self._limit:
            self.problem = f"hangs: nothing for {self._limit:.0f} s"


def resolve(method: str, overrides: dict[str, Any], folder: Path) -> ResolvedCell:
    """Resolves the cell of a method on the bundled pairs."""
    host = load_plugins()
    sweep = Sweep(datasets=(DatasetChoice("shapes"),), methods=(method,), overrides=overrides)
    (cell,) = plan(sweep, host)
    options = RunOptions(data_root=folder, out=folder, criteria=())
    return resolve_cell(Resources(host, options), cell)


class Bench:
    """Runs one cell's pairs by every way.

    Args:
        folder: an empty folder.
        limit: seconds without a sign of a run after which it is taken for hanging.
    """

    def __init__(self, cell: ResolvedCell, folder: Path, limit: float) -> None:
        self._folder, self._limit, self._runs = folder, limit, 0
        self.pair_ids = list(cell.index.pair_ids)
        self._cell = folder / "cell.pickle"
        self._cell.write_bytes(pickle.dumps(cell))
        worker = Worker(Job(self._cell.read_bytes(), folder, Fault()))
        tables: list[pa.Table] = []
        for unit in cut(self.pair_ids):
            tables += worker.predict(unit)
        self._expected = by_pair(tables)

    def run(self, way: str, fault: Fault | None = None) -> Run:
        """Runs all pairs once."""
        self._runs += 1
        folder = self._folder / str(self._runs)
        folder.mkdir()
        task = Task(str(self._cell), str(folder), way, self.pair_ids, tuple(fault or Fault()))
        path = folder / "task.json"
        path.write_text(json.dumps(asdict(task)), encoding="utf-8")
        with (folder / "log").open("w", encoding="utf-8") as log:
            script = Path(__file__).with_name("ray_ways.py")
            process = subprocess.Popen([sys.executable, str(script), str(path)], stdout=log, stderr=log)
        watch, progress = Watch(process.pid), Progress(folder, fault, self._limit)
        processes: list[psutil.Process] = []
        while process.poll() is None and not progress.problem:
            processes = watch.look() or processes
            progress.look()
            time.sleep(0.5)
        end_all(processes)
        process.wait()
        return self._read(folder, watch, progress.problem)

    def _read(self, folder: Path, watch: Watch, problem: str) -> Run:
        tables = [pq.read_table(path) for path in sorted(folder.glob("*.parquet"))]
        pairs: Counter[str] = Counter()
        for table in tables:
            pairs.update(set(table["pair_id"].to_pylist()))
        result: dict[str, Any] = {"began": 0, "ended": 0, "failed": (), "error": ""}
        if (folder / "result.json").exists():
            result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        log = begun(folder)
        rows = by_pair(tables)
        failed = len(result["failed"])
        return Run(
            start=log[0][0] - result["began"] if log and result["began"] else 0,
            work=result["ended"] - log[0][0] if log and result["ended"] else 0,
            processor=watch.processor,
            peak_bytes=watch.peak_bytes,
            begun=len(log),
            arrived=len(pairs),
            twice=sum(1 for count in pairs.values() if count > 1),
            is_same=all(rows[pair_id] == self._expected[pair_id] for pair_id in rows),
            failed=failed,
            end=problem or _end(result["error"], len(self.pair_ids) - len(pairs) - failed),
        )


def _end(error: str, lost: int) -> str:
    if error:
        return f"fails: {error.partition(':')[0]}"
    return f"ends without an error, {lost} pairs lost" if lost else "complete"


def by_pair(tables: Sequence[pa.Table]) -> dict[str, set[tuple[Any, ...]]]:
    """Pair -> its rows; equal for equal bits of all numbers."""
    rows: dict[str, set[tuple[Any, ...]]] = {}
    for table in tables:
        for row in table.select([*KEYS, "x", "y", "score"]).to_pylist():
            rows.setdefault(row["pair_id"], set()).add(tuple(row.values()))
    return rows


def end_all(processes: Sequence[psutil.Process]) -> None:
    """Ends a driver and what it has started."""
    for process in processes:
        # Another process may have its number by now; psutil compares the time of its start.
        if process.is_running():
            process.kill()
    psutil.wait_procs(processes, timeout=30)


def spread(values: Sequence[float]) -> str:
    """Median and, in brackets, the least and the most."""
    middle = report.seconds(statistics.median(values))
    return f"{middle} ({report.seconds(min(values))} to {report.seconds(max(values))})"


def compare(bench: Bench, repeats: int) -> list[list[str]]:
    """Rows of the table of times: both ways in turn."""
    ways = (CORE, "data")
    runs: dict[str, list[Run]] = {way: [] for way in ways}
    for number in range(repeats):
        for way in ways:
            run = bench.run(way)
            show(f"{number + 1} of {repeats}: {way}", run)
            if run.end != "complete" or not run.is_same or run.twice:
                raise RuntimeError(f"{way}, undisturbed: {run}")
            runs[way].append(run)
    rows: list[list[str]] = []
    for what in ("start", "work", "processor"):
        columns = [[getattr(run, what) for run in runs[way]] for way in ways]
        quotients = [data / core for core, data in zip(*columns, strict=True)]
        rows.append([what, *map(spread, columns), spread(quotients)])
    memory = [[run.peak_bytes / report.MEGABYTE for run in runs[way]] for way in ways]
    quotients = [data / core for core, data in zip(*memory, strict=True)]
    rows.append(["peak MB", *map(spread, memory), spread(quotients)])
    return rows


def disturb(bench: Bench) -> list[list[str]]:
    """Rows of the table of deaths."""
    pair_id = bench.pair_ids[len(bench.pair_ids) // 2 + UNIT_PAIRS // 2]
    faults = {
        "one worker is killed": Fault(pair_id),
        "one worker leaves": Fault(pair_id, leaves=True),
        "a pair kills each worker": Fault(pair_id, is_repeated=True),
    }
    rows: list[list[str]] = []
    for what, fault in faults.items():
        for way in (CORE, *DATA):
            run = bench.run(way, fault)
            show(f"{what}: {way}", run)
            again = run.begun - len(bench.pair_ids)
            bits = "yes" if run.is_same else "NO"
            numbers = (run.arrived, run.twice, run.failed, again)
            rows.append([what, way, run.end, *map(str, numbers), bits])
    return rows


def show(what: str, run: Run) -> None:
    """Says how far the measurement is."""
    click.echo(f"bench: {what}: {run.end}, {run.work:.1f} s, {run.arrived} pairs, {run}", err=True)


@click.command()
@click.option("--repeats", type=click.IntRange(1), default=3, show_default=True)
@click.option(
    "--limit", type=click.FloatRange(10), default=120, show_default=True, help="Seconds without a sign."
)
@click.option("--times/--no-times", default=True, show_default=True)
@click.option("--deaths/--no-deaths", default=True, show_default=True)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Also written here.")
def main(repeats: int, limit: float, times: bool, deaths: bool, out: Path | None) -> None:
    """Compare Ray core actors with Ray Data."""
    load = report.load()
    parts: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        for method, overrides in (("position", {}), ("dift", {"ensemble": (1,)})):
            folder = Path(name) / method
            folder.mkdir()
            bench = Bench(resolve(method, overrides, folder), folder, limit)
            if times:
                table = report.plain(("", "core, s", "data, s", "data : core"), compare(bench, repeats))
                parts.append(f"### {method}, {len(bench.pair_ids)} pairs\n\n{table}")
            if deaths and method == "position":
                headers = (
                    "what happens",
                    "way",
                    "end",
                    "arrive",
                    "twice",
                    "failed",
                    "begun again",
                    "same bits",
                )
                parts.append(f"### Deaths\n\n{report.plain(headers, disturb(bench))}")
    parts.append(
        f"Ray {ray.__version__}, pyarrow {pa.__version__}, Python {platform.python_version()}, "
        f"{time.strftime('%Y-%m-%d')}; {WORKERS} workers, {os.cpu_count()} cores, {load} running processes "
        f"when it began; units of {UNIT_PAIRS} pairs; median (least to most) of {repeats}."
    )
    text = "\n\n".join(parts) + "\n"
    report.publish(text, out)


if __name__ == "__main__":
    main()
