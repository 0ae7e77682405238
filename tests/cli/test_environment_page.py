"""The page on the environment has every variable that the code reads, and every option for all commands."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.command_tree import root_context
from support.paths import ROOT

PAGE = (ROOT / "docs" / "reference" / "environment.md").read_text(encoding="utf-8")

SOURCES = ("harness", "baselines", "matchers", "heads", "sd4match_plugin")

INDIRECT = {
    # Handed over by name, not as a literal at the place of reading.
    "harness/isolation/reads.py": "_CACHES",
    "harness/cli/debugging.py": "VARIABLE",
    "harness/engines/proof.py": "NUMERIC",
}


def is_environ(node: ast.expr) -> bool:
    """Says whether an expression is `os.environ` or `environ`."""
    return (isinstance(node, ast.Attribute) and node.attr == "environ") or (
        isinstance(node, ast.Name) and node.id == "environ"
    )


def variables_read(path: Path) -> Iterator[str]:
    """Names of variables that a module reads or sets: `os.environ["X"]`, `.get("X")`, `envvar="X"`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        arguments: list[ast.expr] = []
        if isinstance(node, ast.Subscript) and is_environ(node.value):
            arguments = [node.slice]
        if isinstance(node, ast.Call):
            function = node.func
            if isinstance(function, ast.Attribute) and (
                is_environ(function.value) or function.attr == "getenv"
            ):
                arguments = node.args[:1]
            arguments += [keyword.value for keyword in node.keywords if keyword.arg == "envvar"]
        for argument in arguments:
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                yield argument.value


def literals(path: Path, name: str) -> Iterator[str]:
    """The texts of a module's constant."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and any(getattr(target, "id", "") == name for target in node.targets):
            for part in ast.walk(node.value):
                if isinstance(part, ast.Constant):
                    yield part.value


def all_variables() -> set[str]:
    names: set[str] = set()
    for source in SOURCES:
        for path in (ROOT / source).rglob("*.py"):
            names.update(variables_read(path))
    for module, constant in INDIRECT.items():
        names.update(literals(ROOT / module, constant))
    return names


@pytest.mark.parametrize("name", sorted(all_variables()))
def test_a_variable_that_is_read_is_on_the_page(name):
    rows = re.findall(r"^\|([^|]+)\|", PAGE, re.MULTILINE)
    assert any(f"`{name}`" in row for row in rows), name


def test_variables_are_found():
    names = all_variables()
    assert {"BENCH_DATA_ROOT", "BENCH_WEIGHTS", "BENCH_BLOCK", "BENCH_DEBUG", "HF_HOME", "RANK"} <= names


def test_no_variable_of_ours_is_made_up():
    named = set(re.findall(r"`(BENCH_\w+)`", PAGE))
    assert named == {name for name in all_variables() if name.startswith("BENCH_")}


def test_options_for_all_commands_are_on_the_page():
    for option in root_context().command.params:
        for name in option.opts:
            assert name == "--version" or f"`{name}" in PAGE, name
