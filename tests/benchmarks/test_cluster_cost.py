"""The estimate of a sweep on a cluster: units are all pairs, and workers take what is next."""

from __future__ import annotations

import cluster_cost
import pytest
from click.testing import CliRunner
from cluster_cost import CELLS, Machine, cut, estimate, total
from reproduction_runs import SPAIR_TEST, SPAIR_TEST_PAIRS

from harness.plugins.loading import load_plugins
from harness.running.plan import plan
from harness.sweep import DatasetChoice, Sweep


@pytest.mark.parametrize("is_by_pair", [False, True])
def test_units_are_all_pairs(is_by_pair):
    units = list(cut(48, is_by_pair))
    assert sum(unit.pairs for unit in units) == SPAIR_TEST.pairs
    assert max(unit.pairs for unit in units) <= 48
    whole = list(cut(10**6, is_by_pair))
    assert len(whole) == len(SPAIR_TEST_PAIRS)
    # Batches of two categories are encoded twice.
    assert SPAIR_TEST.pictures <= sum(unit.pictures for unit in whole) <= SPAIR_TEST.pictures + 2 * 8 * 18
    assert sum(unit.pictures for unit in units) > 2 * SPAIR_TEST.pictures


def test_one_worker_works_and_loads_one_after_another():
    machine = Machine()
    cells = [cell for cell in CELLS if cell.method in ("dift", "hog")]
    estimates, tail = estimate(cells, 1, machine)
    everything = total(estimates, 1, machine)
    assert everything.ended == pytest.approx(everything.busy + everything.loading)
    assert tail == 0
    # Networks are read once: both cells of dift have the same.
    assert [taken.loading > 0 for taken in estimates] == [False, True, False]


def test_workers_take_what_is_next():
    machine = Machine(start=0)
    (cell,) = [cell for cell in CELLS if cell.method == "hog"]
    for workers in (2, 64):
        (taken,), tail = estimate([cell], workers, machine)
        share = taken.busy / workers
        assert share - 1e-6 <= taken.ended <= share + tail + 1e-6
        assert tail <= max(unit.pairs for unit in cut(512)) * 0.03


def test_cells_are_those_that_a_sweep_has():
    host = load_plugins()
    texts = ("empty", "category", "implicit-captioner")
    methods = tuple(sorted({cell.method for cell in CELLS} & set(host.methods)))
    assert len(methods) == 11
    sweep = Sweep(datasets=(DatasetChoice("shapes"),), methods=methods, prompts=texts)
    # The captioner's states are too narrow for Stable Diffusion 2-1, which only the published weights show.
    narrow = {"dift", "sd4match-single", "sd4match-class", "sd4match-cpm"}
    planned = {
        (cell.method, cell.prompt)
        for cell in plan(sweep, host)
        if not (cell.prompt == "implicit-captioner" and cell.method in narrow)
    }
    priced = {(cell.method, cell.prompt) for cell in CELLS if cell.prompt != "tuned"}
    assert priced - planned == {("efficientnet-lite0", "none")}
    assert planned <= priced


def test_the_command_prints_its_assumptions_and_knows_its_methods():
    run = CliRunner().invoke(cluster_cost.main, "--workers 8 --method hog")
    assert run.exit_code == 0, run.output
    assert "8 workers of one GPU each" in run.output
    wrong = CliRunner().invoke(cluster_cost.main, "--method hug")
    assert wrong.exit_code == 2
    assert "hug is not known" in wrong.output
