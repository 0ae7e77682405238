"""Units handed to workers: every pair predicted once, whoever dies, and the bytes of a run in one process."""

from __future__ import annotations

import contextlib

import pyarrow.compute as pc
import pytest

import harness.engines.dispatch as dispatch
from harness.engines.pool import Died, Received
from harness.engines.units import Unit, cut_units, unit_size
from harness.plugins.loading import load_plugins
from harness.records.locks import lock_folder
from harness.running import predict
from harness.running.engine import prepare_run, run_cells
from harness.running.plan import plan
from harness.running.remote import Account, FinishedPairs, RemoteWork
from harness.running.resolve import resolve_cell
from harness.running.resources import Resources, RunOptions
from harness.scoring.criteria import make_criterion
from harness.sweep import DatasetChoice, Sweep


class Reporter:
    """Keeps what is shown."""

    def __init__(self):
        self.progress, self.steps, self.lines, self.finished = [], [], [], []

    @contextlib.contextmanager
    def cell_started(self, cell, number, cells):
        yield lambda cell, done, total: None

    @contextlib.contextmanager
    def cells_started(self, cells):
        yield lambda cell, done, total: self.progress.append((done, total))

    def cell_finished(self, record):
        self.finished.append(record)

    def cell_step(self, text):
        self.steps.append(text)

    def warn(self, message):
        self.lines.append(message)

    inform = warn


class Workers:
    """A pool whose workers are generators of this process; a message of each in turn.

    Args:
        deadly: called with a unit and the number of messages so far; says whether the worker dies instead of
            sending the next one.
    """

    def __init__(self, size, deadly=lambda unit, sent: False, is_fault=True):
        self.size, self._deadly, self._is_fault = size, deadly, is_fault
        self._busy, self.submitted, self.is_closed = [], [], False
        self._processes = [RemoteWork() for _ in range(size)]

    def room(self):
        return self.size - len(self._busy)

    def submit(self, unit, resolved):
        assert self.room()
        self.submitted.append((unit.cell, tuple(unit.wanted)))
        # A copy, as on another machine.
        wanted = {pair_id: list(names) for pair_id, names in unit.wanted.items()}
        process = self._processes.pop()
        self._busy.append([process, unit, process.predict(resolved, wanted), 0])

    def wait(self, seconds):
        process, unit, messages, sent = self._busy.pop(0)
        if self._deadly(unit, sent):
            messages.close()
            self._processes.append(RemoteWork())
            return [Died(unit, "its process was killed by SIGSEGV", self._is_fault)]
        message = next(messages)
        if isinstance(message, FinishedPairs):
            self._busy.append([process, unit, messages, sent + 1])
        else:
            self._processes.append(process)
        return [Received(unit, message)]

    def describe(self):
        return f"{self.size} workers"

    def close(self):
        self.is_closed = True


@pytest.fixture(scope="module")
def host():
    return load_plugins()


def cells_of(host, **sweep):
    # Two cells, of which one is the other to the digit: the method draws nothing.
    sweep = {"methods": ("position",), "seeds": (0, 1), "datasets": (DatasetChoice("shapes"),), **sweep}
    return plan(Sweep(**sweep), host)


def options_of(host, out, **changes):
    return RunOptions(data_root=out, out=out, criteria=(make_criterion(host, "sd4match", None),), **changes)


def run(host, cells, options, workers):
    reporter = Reporter()
    prepared = prepare_run(host, cells, options, reporter)
    return dispatch.run_in_pool(host, prepared, workers, reporter), reporter


def content(out):
    """Cell -> bytes of its predictions, scores and failures."""
    from harness.records.folders import read_record

    cells = {}
    for folder in sorted(out.iterdir()):
        record = read_record(folder / "record.json")
        cells[folder.name] = (
            (folder / "predictions.parquet").read_bytes(),
            record.scores,
            record.failures,
            record.localizers,
            record.counts,
        )
    return cells


@pytest.fixture(scope="module")
def alone(host, tmp_path_factory):
    """What one process makes of 120 pairs."""
    out = tmp_path_factory.mktemp("alone")
    run_cells(host, cells_of(host), options_of(host, out, limit=120), Reporter())
    return content(out)


def test_the_bytes_of_one_process(host, tmp_path, alone):
    workers = Workers(3)
    records, reporter = run(host, cells_of(host), options_of(host, tmp_path, limit=120), workers)
    assert [record.status for record in records] == ["ok", "ok"]
    assert content(tmp_path) == alone
    assert workers.is_closed
    # Several units each, both cells at work at once, and one bar over all of it.
    assert len(workers.submitted) > 4
    assert reporter.progress[0] == (0, 240)
    assert reporter.progress[-1] == (240, 240)
    done = [done for done, _ in reporter.progress]
    assert done == sorted(done)
    assert reporter.steps == ["3 workers"]
    for record in records:
        assert record.provenance.computed_pairs == 120
    # Nothing is left to do for another run.
    again = Workers(1)
    run(host, cells_of(host), options_of(host, tmp_path, limit=120), again)
    assert again.submitted == []


@pytest.mark.parametrize("is_fault", [True, False])
def test_workers_that_die(host, tmp_path, alone, is_fault):
    deaths = iter([True, False, False, True, False, True])
    workers = Workers(2, lambda unit, sent: next(deaths, False), is_fault)
    records, reporter = run(host, cells_of(host), options_of(host, tmp_path, limit=120), workers)
    assert content(tmp_path) == alone
    # The third of them had handed over all of its pairs.
    assert sum("a worker is gone (its process was killed by SIGSEGV)" in line for line in reporter.lines) == 2
    # What a dead worker had handed over is not predicted again.
    counts = {}
    for cell, pair_ids in workers.submitted:
        for pair_id in pair_ids:
            counts[cell, pair_id] = counts.get((cell, pair_id), 0) + 1
    assert max(counts.values()) == 2
    repeated = sum(count == 2 for count in counts.values())
    assert 0 < repeated < 3 * 32 * 2
    assert sum(record.provenance.computed_pairs for record in records) == 240


def test_a_pair_that_kills_is_found_and_fails_alone(host, tmp_path, alone):
    cells = cells_of(host)
    index = resolve_cell(Resources(host, options_of(host, tmp_path)), cells[0]).index
    from harness.datasets.selection import predictable_pairs

    deadly = predictable_pairs(index, 120)[77]
    workers = Workers(2, lambda unit, sent: unit.cell == 1 and deadly in unit.wanted)
    (first, second), _ = run(host, cells, options_of(host, tmp_path, limit=120), workers)
    assert (first.status, second.status) == ("partial", "ok")
    (failure,) = first.failures
    assert failure.pair_id == deadly
    assert "workers died over it (the last: its process was killed by SIGSEGV)" in failure.error
    (info,) = first.localizers.values()
    assert (info.pairs, info.failed) == (119, 1)
    # It was alone in the end, and not before it had killed so often; others were with it till then.
    alone_with = [pair_ids for cell, pair_ids in workers.submitted if cell == 1 and deadly in pair_ids]
    assert alone_with[-1] == (deadly,)
    assert len(alone_with) >= dispatch.FAILED_AFTER
    whole = content(tmp_path)
    (cell,) = (name for name in whole if name == second.cell.id)
    assert whole[cell] == alone[cell]
    # The others are predicted as ever: with the pair, the bytes are those of one process.
    run(host, cells, options_of(host, tmp_path, limit=120), Workers(1))
    assert content(tmp_path) == alone


def test_a_lone_pair_fails_at_its_third_kill():
    unit = Unit(1, {"a": ["argmax"], "b": ["argmax"], "c": ["argmax"]}, kills=2)
    left, right = unit.halves()
    assert (list(left.wanted), list(right.wanted)) == (["a"], ["b", "c"])
    assert (left.kills, right.kills) == (2, 2)


def test_a_cell_that_another_process_runs(host, tmp_path):
    cells = cells_of(host)
    options = options_of(host, tmp_path, limit=40)
    resolved = resolve_cell(Resources(host, options), cells[0])
    resolved.folder.mkdir()
    with lock_folder(resolved.folder, lambda subject, message: None, writes=True):
        records, reporter = run(host, cells, options, Workers(2))
    assert [record.cell.seed for record in records] == [1]
    assert "shapes position: another process is running this cell (process " in reporter.lines[-1]


def test_a_disk_that_is_full(host, tmp_path, monkeypatch):
    cells = cells_of(host)
    store, full = dispatch.CellRun.store, []

    def store_first(run, table):
        if run.resolved.cell.seed == 0:
            full.append(table)
            if len(full) > 1:
                raise OSError(28, "No space left on device", "x")
        store(run, table)

    monkeypatch.setattr(dispatch.CellRun, "store", store_first)
    (first, second), _ = run(host, cells, options_of(host, tmp_path, limit=100), Workers(2))
    assert (first.status, second.status) == ("failed", "ok")
    assert "No space left on device" in first.error.message
    # What was written before is there for the next run.
    monkeypatch.undo()
    again = Workers(1)
    (first, _), _ = run(host, cells, options_of(host, tmp_path, limit=100), again)
    assert first.status == "ok"
    assert 0 < sum(len(pair_ids) for _, pair_ids in again.submitted) < 100


def test_an_interrupt_keeps_what_arrived_and_frees_the_folders(host, tmp_path, alone):
    def interrupt(unit, sent):
        if sent and len(workers.submitted) > 3:
            raise KeyboardInterrupt
        return False

    workers = Workers(2, interrupt)
    options = options_of(host, tmp_path, limit=120)
    with pytest.raises(KeyboardInterrupt):
        run(host, cells_of(host), options, workers)
    assert workers.is_closed
    again = Workers(2)
    run(host, cells_of(host), options, again)
    assert content(tmp_path) == alone
    assert sum(len(pair_ids) for _, pair_ids in again.submitted) < 240


def test_a_method_that_cannot_be_made_fails_its_cell_alone(host, tmp_path, monkeypatch):
    make = predict.make_pair_features

    def make_one(resolved, shared, cache):
        if resolved.cell.seed == 0:
            raise ValueError("no such layer")
        return make(resolved, shared, cache)

    monkeypatch.setattr(predict, "make_pair_features", make_one)
    (first, second), _ = run(host, cells_of(host), options_of(host, tmp_path, limit=40), Workers(2))
    assert (first.status, second.status) == ("failed", "ok")
    assert first.error.message == "ValueError: no such layer"
    assert "ValueError: no such layer" in first.error.traceback


def test_units_of_few_and_many_pairs(host, tmp_path):
    (cell, _) = cells_of(host)
    resolved = resolve_cell(Resources(host, options_of(host, tmp_path)), cell)
    wanted = {pair_id: ["argmax"] for pair_id in resolved.index.pair_ids}
    units = cut_units(7, resolved, wanted, 24)
    assert sorted(pair_id for unit in units for pair_id in unit.wanted) == sorted(wanted)
    for unit in units:
        assert unit.cell == 7
        assert len(unit.wanted) <= 24
        assert len({resolved.index.pairs[pair_id].category for pair_id in unit.wanted}) == 1
    # Cut in the dataset's order, units would need more batches of images.
    assert batches_of(resolved, [list(unit.wanted) for unit in units]) <= batches_of(
        resolved, as_given(list(wanted), len(units))
    )
    assert unit_size(12_234, 1) == 512
    assert unit_size(12_234, 64) == 48
    assert unit_size(100, 64) == 32


def batches_of(resolved, groups):
    from harness.features.items import ItemPlan

    plan = ItemPlan(resolved.index, "image", 8)
    batches = 0
    for group in groups:
        numbers = {number // 8 for pair_id in group for number in plan.numbers(resolved.index.pairs[pair_id])}
        batches += len(numbers)
    return batches


def as_given(pair_ids, count):
    size = -(-len(pair_ids) // count)
    return [pair_ids[start : start + size] for start in range(0, len(pair_ids), size)]


def test_what_a_process_keeps_between_units(host, tmp_path):
    (cell, _) = cells_of(host)
    resolved = resolve_cell(Resources(host, options_of(host, tmp_path)), cell)
    process = RemoteWork()
    pair_ids, localizers = resolved.index.pair_ids[:40], list(resolved.cell.localizers)
    first = list(process.predict(resolved, dict.fromkeys(pair_ids, localizers)))
    # Two times thirty-two pairs at most.
    assert [type(message) for message in first] == [FinishedPairs, FinishedPairs, Account]
    second = list(process.predict(resolved, {pair_ids[0]: localizers}))
    assert [type(message) for message in second] == [FinishedPairs, Account]
    # Each account is that of its own unit, and what was loaded was loaded once.
    works = [messages[-1].work for messages in (first, second)]
    assert [work.computed for work in works] == [40, 1]
    assert [len(work.attempted) for work in works] == [40, 1]
    assert ["load" in work.stages for work in works] == [True, False]
    table = first[0].table()
    assert second[0].table().equals(table.filter(pc.equal(table["pair_id"], pair_ids[0])))
