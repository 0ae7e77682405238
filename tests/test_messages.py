"""Wording that messages share."""

import ast
import re
import subprocess

import pytest
from support.paths import ROOT

from harness.messages import bytes_text, counted, listed, shell_word


@pytest.mark.parametrize(
    ("items", "text"),
    [
        ([], ""),
        (["a"], "a"),
        (["a", "b"], "a and b"),
        (["a", "b", "c"], "a, b and c"),
    ],
)
def test_items_are_listed(items, text):
    assert listed(items) == text
    assert listed(tuple(items)) == text


def test_numbers_are_counted_in_singular_and_plural():
    assert counted(1, "pair") == "1 pair"
    assert counted(5739, "pair") == "5,739 pairs"
    assert counted(2, "category", "categories") == "2 categories"


@pytest.mark.parametrize("text", ["plain", "", "a b", """it's "b" $x `y` \\ ü\\"""])
def test_a_word_for_a_shell_is_read_as_it_was(text):
    command = ["sh", "-c", f"printf %s {shell_word(text)}"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == text
    # A message has the command between single quotes.
    assert not shell_word(text).startswith("'")


@pytest.mark.parametrize(
    ("size", "text"),
    [(None, "–"), (0, "0 B"), (999, "999 B"), (1000, "1 kB"), (5_214_000_000, "5.21 GB"), (2e12, "2 TB")],
)
def test_numbers_of_bytes_have_the_units_of_disks(size, text):
    assert bytes_text(size) == text


def test_no_message_sends_the_reader_to_a_page_of_the_repository():
    """Whoever installed a wheel has no `docs/`: a message says what to do itself, or names a command."""
    found = []
    for package in ("harness", "baselines", "matchers", "heads", "sd4match_plugin"):
        for path in (ROOT / package).rglob("*.py"):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            # A text that stands alone is a docstring, which is read beside the pages.
            alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
            for node in ast.walk(tree):
                if not (isinstance(node, ast.Constant) and isinstance(node.value, str)) or id(node) in alone:
                    continue
                # A text without a space is a name of a file, such as one that is written.
                if " " in node.value and re.search(r"\bdocs/|\b[\w-]+\.md\b|README", node.value):
                    found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert not found
