"""What `--help` shows: an example that is a command, whole descriptions; what a command alone prints."""

from __future__ import annotations

import shlex

import click
import pytest
from support.command_tree import commands, root_context

from harness.cli.anywhere import parse_anywhere

LEAVES = [(path, context) for path, context in commands() if not isinstance(context.command, click.Group)]


def lines_after_examples(context: click.Context) -> list[str]:
    """Command lines at the end of a help page."""
    _, _, end = context.get_help().rpartition("\n\n")
    title, *lines = [line.strip() for line in end.strip().splitlines()]
    assert title in ("Example:", "Examples:")
    return lines


@pytest.mark.parametrize(("path", "context"), LEAVES, ids=[path for path, _ in LEAVES])
def test_help_ends_with_examples_that_parse(path, context):
    lines = lines_after_examples(context)
    assert lines
    for line in lines:
        words = shlex.split(line.partition(" > ")[0])
        assert words[: len(path.split())] == path.split(), f"{line} is no example of {path}"
        words = list(parse_anywhere(words[len(path.split()) :]).remaining)
        context.command.make_context(context.info_name, words, parent=context.parent)
        # A line that a terminal would break cannot be copied.
        assert len(line) <= 96


def test_help_of_bench_ends_with_examples():
    lines = lines_after_examples(root_context())
    names = dict(commands())
    for line in lines:
        assert " ".join(shlex.split(line)[:2]) in names


GROUPS = [(path, context) for path, context in commands() if isinstance(context.command, click.Group)]


@pytest.mark.parametrize(("path", "context"), GROUPS, ids=[path for path, _ in GROUPS])
def test_descriptions_of_commands_are_whole(path, context):
    context.terminal_width = 80
    _, _, listed = context.get_help().partition("Commands:\n")
    rows, _, _ = listed.partition("\n\n")
    assert len(rows.splitlines()) == len(context.command.list_commands(context))
    assert "..." not in rows


@pytest.mark.parametrize("words", [(), ("data",), ("weights",), ("prompt",)])
def test_a_group_alone_prints_its_help(bench, words):
    done = bench(*words)
    assert done.status == 0
    assert done.out == bench(*words, "--help").out
    assert "\nCommands:\n" in done.out
    assert done.err == ""
