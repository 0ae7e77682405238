"""The dataclass of a command's arguments has a field for each of its options, and no other."""

from __future__ import annotations

from dataclasses import fields

import pytest

from harness.cli.match import MatchArguments, match
from harness.cli.run import RunArguments, run


@pytest.mark.parametrize(("command", "arguments"), [(run, RunArguments), (match, MatchArguments)])
def test_fields_are_the_options(command, arguments):
    options = {parameter.name for parameter in command.params if parameter.expose_value}
    assert {field.name for field in fields(arguments)} == options
