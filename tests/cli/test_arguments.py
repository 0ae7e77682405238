"""The dataclass of a command's arguments has a field for each of its options, and no other."""

from __future__ import annotations

from dataclasses import fields

import pytest

from harness.api.leaderboard_tables import LeaderboardArguments
from harness.api.run_arguments import RunArguments
from harness.api.run_differences import CompareArguments
from harness.cli.compare import compare
from harness.cli.leaderboard import leaderboard
from harness.cli.match import MatchArguments, match
from harness.cli.run import run


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        (run, RunArguments),
        (match, MatchArguments),
        (leaderboard, LeaderboardArguments),
        (compare, CompareArguments),
    ],
)
def test_fields_are_the_options(command, arguments):
    options = {parameter.name for parameter in command.params if parameter.expose_value}
    assert {field.name for field in fields(arguments)} == options
