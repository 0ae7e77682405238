"""Blocks of pages are read, run and compared as their marks say, and none is passed over."""

from __future__ import annotations

import pytest
from console import Shell, is_same, split_commands
from page_blocks import kind_of, read_blocks
from support.pages import PAGES


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_no_block_is_passed_over(page):
    """Text that is shown and not run is no command."""
    for block in read_blocks(page.read_text(encoding="utf-8")):
        word = block.source.split(maxsplit=1)[0]
        assert kind_of(block) != "shown" or word not in ("$", "bench", "pip", "python", "make"), block.line


def test_marks_before_a_block_are_read():
    page = "words\n\n<!-- setup: bench run\n  -o x -->\n<!-- not run: needs a GPU -->\n```\nbench list\n```\n"
    (block,) = read_blocks(page)
    assert (block.reason, block.setup, block.line) == ("needs a GPU", ["bench run\n  -o x"], 6)


@pytest.mark.parametrize("mark", ["<!-- not run -->", "<!-- not run: -->", "<!-- skip: it is long -->"])
def test_a_mark_without_a_reason_is_an_error(mark):
    with pytest.raises(ValueError, match="line 2"):
        read_blocks(f"{mark}\n```\nbench list\n```\n")


def test_commands_are_taken_apart():
    (first, second) = split_commands("$ bench list \\\n  methods\na\nb\n$ cd x\n")
    assert (first.text, first.expected) == ("bench list   methods", ["a", "b"])
    assert (second.text, second.expected) == ("cd x", [])


@pytest.mark.parametrize(
    ("expected", "output", "same"),
    [
        (["a", "b"], "a\nb\n", True),
        (["a"], "a\nb\n", False),
        (["a", "...", "d"], "a\nb\nc\nd\n", True),
        (["a ... s"], "a 1.25 s\n", True),
        (["a ... c"], "a\nc\n", False),
    ],
)
def test_outputs_are_compared(expected, output, same):
    assert is_same(expected, output) is same


def test_a_shell_keeps_folder_and_variables(tmp_path):
    shell = Shell(tmp_path)
    assert shell.run("mkdir sub && cd sub && export WORD=kept") == (0, "")
    assert shell.run('echo "$WORD"; basename "$PWD"') == (0, "kept\nsub\n")
    assert shell.run("exit 3")[0] == 3
    assert shell.run("false")[0] == 1
