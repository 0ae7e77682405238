"""Costs of commands that are kept: how often a command runs, and what an earlier call has measured."""

from __future__ import annotations

import click
import pytest
from kept_costs import RUNS_OF_SHORT, SHORT, KeptCosts
from leaderboard import Cost


def runs(*seconds):
    """A command that takes so long, one run after the other, and more memory each time."""
    costs = iter(Cost(0, value, 100.0 + number) for number, value in enumerate(seconds))
    return lambda: next(costs)


@pytest.mark.parametrize(
    ("seconds", "repeats", "least"),
    [
        ((SHORT + 1,), 1, SHORT + 1),
        ((SHORT + 1, SHORT + 2, SHORT), 3, SHORT),
        ((2.0, 1.5, 1.75), 1, 1.5),
        ((2.0, 1.5, 1.75, 1.0), 4, 1.0),
    ],
)
def test_short_commands_are_run_more_often(seconds, repeats, least):
    costs = KeptCosts()
    costs.measure("rescore", runs(*seconds), repeats)
    assert costs.least("rescore") == (least, 100.0)


def test_what_an_earlier_call_has_measured_is_not_measured_again(tmp_path):
    path = tmp_path / "new" / "costs.json"
    here = {"processor": "this"}
    early = KeptCosts(path, here, {"date": "2026-11-27"})
    with pytest.raises(StopIteration):
        # It ends in the second of its runs.
        early.measure("report", runs(3.0), 1)
    late = KeptCosts(path, here, {"date": "2026-11-28"})
    assert late.circumstances == {"date": "2026-11-27"}
    assert late.least("report") == (3.0, 100.0)
    assert late.measure("report", runs(*[4.0] * (RUNS_OF_SHORT - 1)), 1)
    assert not late.measure("report", runs(), 1)
    assert KeptCosts(path, here).least("report") == (3.0, 100.0)
    assert KeptCosts(path, here).least("compare") is None


def test_costs_of_other_conditions_are_not_mixed(tmp_path):
    path = tmp_path / "costs.json"
    KeptCosts(path, {"amount": "--quick"}).measure("report", runs(20.0), 1)
    with pytest.raises(click.UsageError, match="measured with --quick; here is whole; give another file"):
        KeptCosts(path, {"amount": "whole"})


@pytest.mark.parametrize(
    "text", ["nonsense", "[1]", "{}", '{"conditions": {}, "circumstances": {}, "runs": {"a": [1]}}']
)
def test_a_damaged_file_is_told(tmp_path, text):
    path = tmp_path / "costs.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(click.UsageError, match=r"costs\.json: holds no costs that an earlier call has kept"):
        KeptCosts(path)
