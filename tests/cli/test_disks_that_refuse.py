"""Every command that writes, on a disk that refuses one of its changes: one line, nothing lost, nothing half.

Here some changes are refused, each in one way; `tests/survival` has more of them, all ways, and trainings.
"""

from __future__ import annotations

import pytest
from support.command_tree import commands
from support.disk_scenes import GROUPS, READING, SCENES, Stage, one_of_each, surroundings
from support.faulty_disk import REFUSALS

LONG = {"bench ablation", "bench prompt show"}
"""Commands that draw or train for seconds; what they write goes through the doors of the others."""


def test_every_command_has_a_scene_or_writes_nothing():
    """A new command belongs to one of the two."""
    names = {name for name, _ in commands()} - GROUPS - READING - LONG
    lacking = {name for name in names if not any(f"bench {scene}".startswith(name) for scene in SCENES)}
    assert not lacking


MOST = 2
"""Changes of one command."""


@pytest.fixture
def stage(request, bench, tmp_path, monkeypatch):
    with surroundings(monkeypatch):
        yield Stage(SCENES[request.param], tmp_path, bench, monkeypatch.chdir)


@pytest.mark.parametrize("stage", sorted(SCENES.keys() - {"train"}), indirect=True)
def test_a_disk_that_refuses_a_change_costs_nothing(stage):
    numbers = one_of_each(stage.changes)
    for turn, at in enumerate(numbers[:: 1 + len(numbers) // MOST]):
        change = stage.changes[at - 1].partition(" ")[0]
        ways = [refusal for refusal in REFUSALS.values() if change in refusal.changes]
        assert stage.check(ways[turn % len(ways)], at), stage.changes[at - 1]
