"""Every block of code on the README and the pages is a test: `make test-docs`.

Blocks of one page share a folder, a shell and a Python namespace, in the page's order.
"""

from __future__ import annotations

import contextlib
import csv
import inspect
import io
import json
import tempfile
import tomllib
from collections import Counter
from pathlib import Path

import pytest
from console import Shell, is_same, split_commands
from page_blocks import COMMANDS, Block, kind_of, read_blocks
from support.pages import PAGES
from support.paths import ROOT
from sybil import Document, Example, Region, Sybil

_READERS = {
    "json": json.loads,
    "toml": tomllib.loads,
    "csv": lambda text: list(csv.reader(io.StringIO(text), strict=True)),
}


def parse_page(document: Document) -> list[Region]:
    """Regions of a page's blocks, for Sybil."""
    return [
        Region(block.start, block.end, parsed=block, evaluator=evaluate)
        for block in read_blocks(document.text)
        if kind_of(block) != "shown"
    ]


def evaluate(example: Example) -> None:
    """Runs, reads or compares a block. Fails where it is not as the page says."""
    block: Block = example.parsed
    if block.reason is not None:
        pytest.skip(f"not run: {block.reason}")
    space = example.namespace
    shell: Shell = space["__shell__"]
    for command in block.setup:
        status, output = shell.run(command)
        _check(status == 0, f"setup '{command}' ended with {status}:\n{output}")
    if block.file:
        path = shell.folder / block.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.source, encoding="utf-8")
    if block.is_output:
        _check(is_same(block.source.splitlines(), space["__output__"]), f"it prints:\n{space['__output__']}")
    elif block.language in COMMANDS:
        _run_commands(block, shell, space)
    elif block.language == "python" and not block.file:
        _run_python(example, block, shell)
    elif block.language in _READERS:
        _READERS[block.language](block.source)


def _check(is_right: bool, problem: str) -> None:
    """Fails with words alone: where in this file is of no use to who writes a page."""
    if not is_right:
        pytest.fail(problem, pytrace=False)


def _run_commands(block: Block, shell: Shell, space: dict[str, object]) -> None:
    commands = split_commands(block.source)
    _check(bool(commands), "a block of commands without a command; name its language if it is none")
    outputs = []
    for number, command in enumerate(commands, start=1):
        status, output = shell.run(command.text)
        wanted = block.status if number == len(commands) else 0
        _check(status == wanted, f"'{command.text}' ended with {status}:\n{output}")
        if command.expected:
            _check(is_same(command.expected, output), f"'{command.text}' prints:\n{output}")
        outputs.append(output)
    space["__output__"] = "".join(outputs)


def _run_python(example: Example, block: Block, shell: Shell) -> None:
    printed = io.StringIO()
    # Line numbers of a traceback are the page's.
    code = compile("\n" * block.line + block.source, example.path, "exec", dont_inherit=True)
    with contextlib.chdir(shell.folder), contextlib.redirect_stdout(printed):
        exec(inspect.cleandoc(block.names), example.namespace)
        exec(code, example.namespace)
    example.namespace["__output__"] = printed.getvalue()


def _open_page(space: dict[str, object]) -> None:
    space["__folder__"] = tempfile.TemporaryDirectory()
    space["__shell__"] = Shell(Path(space["__folder__"].name))
    space["__name__"] = "__main__"


def _close_page(space: dict[str, object]) -> None:
    space["__folder__"].cleanup()


class Pages:
    """Collects the pages, which lie in other folders than this file."""

    sybil = Sybil([parse_page], path=str(ROOT), pattern="*.md", setup=_open_page, teardown=_close_page)

    pytest_collect_file = staticmethod(sybil.pytest())


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Pages())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    kinds: Counter[str] = Counter()
    for page in PAGES:
        kinds.update(kind_of(block) for block in read_blocks(page.read_text(encoding="utf-8")))
    texts = ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items()))
    terminalreporter.write_line(f"{kinds.total()} blocks on {len(PAGES)} pages: {texts}")
