"""The measurement of commands on large results: its folder is sound, and each command runs on it."""

from __future__ import annotations

import sys

import leaderboard
import numpy as np
import pytest
from click.testing import CliRunner
from large_results import write_pictures, write_results
from leaderboard import commands_on, main, measure
from pair_graphs import Graph, drawn_from_mixed
from support.markdown import cells_of_markdown

from harness.plugins.loading import load_plugins

LITTLE: Graph = drawn_from_mixed(12, 40, 2, np.random.default_rng(0))


def test_made_up_results_are_those_of_finished_runs(bench, tmp_path):
    data, results = tmp_path / "data", tmp_path / "results"
    write_pictures(data, LITTLE)
    write_results(load_plugins(), data, results, LITTLE, 2)
    for options in commands_on(data, results, tmp_path / "page.html").values():
        outcome = bench(*options)
        assert (outcome.status, outcome.err) == (0, "")
    rows = cells_of_markdown(bench("leaderboard", results).out)[2:]
    assert [row[1] for row in rows] == ["method-01", "method-00"]


def test_the_memory_of_a_process_is_its_own():
    ballast = bytearray(300_000_000)
    cost = measure([sys.executable, "-c", "pass"])
    assert cost.megabytes < 100 < len(ballast) / 1e6
    assert cost.seconds > 0


def test_a_command_that_fails_is_not_measured():
    with pytest.raises(RuntimeError, match="exit status 3"):
        measure([sys.executable, "-c", "raise SystemExit(3)"])


def test_the_command_prints_a_row_for_each_command(tmp_path, monkeypatch):
    monkeypatch.setattr(leaderboard, "commands_on", lambda *folders: {"leaderboard": ["--version"]})
    out = tmp_path / "costs.md"
    options = f"--rows 2 --pairs 30 --repeats 1 --out {out}"
    result = CliRunner().invoke(main, options, catch_exceptions=False)
    assert result.exit_code == 0
    assert "| leaderboard " in out.read_text(encoding="utf-8")
