"""Blocks of code on a page, and the comments before a block that say how it is run.

A reader does not see these comments. Several may stand before one block:

    <!-- not run: needs SPair-71k -->          why the block is not run
    <!-- setup: bench run ... -->              a command that is run first, on pages that begin in the middle
    <!-- with: Mine = object -->               Python that is run first, for names that are not on the page
    <!-- file: bench_mine.py -->               the block is saved under this name in the page's folder
    <!-- exit status: 2 -->                    what the block's last command ends with, where that is not 0
    <!-- output -->                            the block is what the block before it prints
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>[^\n`]*)\n(?P<source>.*?)^(?P=indent)```$", re.M | re.S)

_COMMENTS = re.compile(r"(?:<!--(?:(?!-->).)*-->\s*)+\Z", re.S)

_COMMENT = re.compile(r"<!--\s*(?P<key>[a-z ]+?)\s*(?::\s*(?P<value>.*?))?\s*-->", re.S)

COMMANDS = frozenset({"", "console", "bash", "sh", "shell"})
"""Languages of blocks of commands."""

READ = frozenset({"json", "toml", "csv"})
"""Languages of blocks that are read, and whose mistakes are told."""

SHOWN = frozenset({"text", "bibtex", "yaml", "html", "latex"})
"""Languages of blocks that are shown, and neither run nor read."""

KEYS = frozenset({"not run", "setup", "with", "file", "exit status", "output"})


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes:
        line: where it begins, counted from 1.
        start, end: its place in the page's text.
        reason: why it is not run; None where it is.
        setup: commands that are run before it.
        names: Python that is run before it.
        file: name under which it is saved; empty where it is not.
        status: exit status of its last command.
        is_output: whether it is what the block before it prints.
    """

    language: str
    source: str
    line: int
    start: int
    end: int
    reason: str | None = None
    setup: list[str] = field(default_factory=list)
    names: str = ""
    file: str = ""
    status: int = 0
    is_output: bool = False


def read_blocks(text: str) -> list[Block]:
    """Reads the fenced blocks of a page. Raises ValueError where a comment before one says nothing known."""
    blocks = []
    for fence in _FENCE.finditer(text):
        language = fence["language"].strip()
        # Directives of the site, such as its contents, are no code.
        if language.startswith("{"):
            continue
        source = re.sub(rf"^{fence['indent']}", "", fence["source"], flags=re.M)
        line = text.count("\n", 0, fence.start()) + 1
        comments = _COMMENTS.search(text, 0, fence.start())
        marks = _read_comments(comments.group() if comments else "", line)
        blocks.append(Block(language, source, line, fence.start(), fence.end(), **marks))
    return blocks


def _read_comments(text: str, line: int) -> dict[str, object]:
    marks: dict[str, object] = {}
    setup: list[str] = []
    for comment in _COMMENT.finditer(text):
        key, value = comment["key"], comment["value"] or ""
        if key not in KEYS:
            raise ValueError(f"line {line}: '{key}' before a block says nothing; known: {sorted(KEYS)}")
        if key != "output" and not value:
            raise ValueError(f"line {line}: '{key}' before a block needs something after a colon")
        if key == "not run":
            marks["reason"] = value
        elif key == "setup":
            setup.append(value)
        elif key in ("with", "file"):
            marks["names" if key == "with" else key] = value
        elif key == "exit status":
            marks["status"] = int(value)
        else:
            marks["is_output"] = True
    return {**marks, "setup": setup}


def kind_of(block: Block) -> str:
    """What is done with a block: `run`, `compared`, `read`, `saved`, `shown` or `not run`.

    Raises ValueError for a language that nothing is known of.
    """
    if block.reason is not None:
        return "not run"
    if block.is_output:
        return "compared"
    if block.file:
        return "saved"
    for kind, languages in (("run", COMMANDS | {"python"}), ("read", READ), ("shown", SHOWN)):
        if block.language in languages:
            return kind
    raise ValueError(f"line {block.line}: no rule for blocks of {block.language}")
