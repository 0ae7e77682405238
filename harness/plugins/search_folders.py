"""Folders that a module adds to `sys.path`, worked out from its source.

Code that wraps a research repository often does `sys.path.insert(0, ".../repository")` where it makes
the network, and imports from there.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

_DEPTH = 20
"""Names that stand for names that stand for names: more are a circle."""

_UNCHANGING = frozenset(
    {
        *("Path", "PurePath", "str", "fspath", "abspath", "realpath", "normpath", "resolve", "absolute"),
        *("as_posix", "expanduser"),
    }
)
"""Functions and methods whose result is the same place."""


def added_folders(nodes: Iterable[ast.AST], file: Path) -> Iterator[str]:
    """The arguments of `sys.path.insert`, `append` and `extend`, and of `site.addsitedir`, as far as they are
    put together from texts, `__file__`, the environment and the functions of `os.path` and `pathlib`.

    Args:
        nodes: of the module; assignments and calls are looked at.
        file: the module's file.
    """
    nodes = list(nodes)
    names: dict[str, ast.expr] = {}
    for node in nodes:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            names[node.targets[0].id] = node.value
        elif isinstance(node, ast.AnnAssign) and node.value and isinstance(node.target, ast.Name):
            names[node.target.id] = node.value
    places = _Places(names, file)
    for node in nodes:
        for item in _added_items(node):
            if folder := places.find(item):
                yield os.path.expanduser(folder)  # noqa: PTH111 - a text goes in and out


def _added_items(node: ast.AST) -> list[ast.expr]:
    """Expressions of the folders that a statement or a call adds."""
    value: ast.expr | None = None
    if isinstance(node, ast.Call) and node.args and _adds_folders(node.func):
        value = node.args[-1]
    elif isinstance(node, ast.AugAssign | ast.Assign):
        target = node.target if isinstance(node, ast.AugAssign) else node.targets[0]
        # Objects of all kinds have a `path` that is set: here the module goes by its own name.
        if _is_search_path(target) and ast.unparse(target).startswith("sys.path"):
            value = node.value
    if isinstance(value, ast.BinOp) and isinstance(value.left, ast.List):
        # `[folder] + sys.path`
        value = value.left
    if value is None:
        return []
    return value.elts if isinstance(value, ast.List | ast.Tuple) else [value]


def _is_search_path(node: ast.expr) -> bool:
    """Whether an expression is `sys.path`, or a slice of it."""
    if isinstance(node, ast.Subscript):
        node = node.value
    return isinstance(node, ast.Attribute) and node.attr == "path"


def _adds_folders(function: ast.expr) -> bool:
    if not isinstance(function, ast.Attribute):
        return False
    if function.attr == "addsitedir":
        return True
    owner = function.value
    is_search_path = _is_search_path(owner) or (isinstance(owner, ast.Name) and owner.id == "path")
    return is_search_path and function.attr in ("insert", "append", "extend")


class _Places:
    """The paths that expressions of a module give."""

    def __init__(self, names: Mapping[str, ast.expr], file: Path) -> None:
        self._names = {name: value for name, value in names.items() if name != "__file__"}
        self._file = file
        self._depth = 0

    def find(self, node: ast.expr) -> str:
        """The path that an expression gives; empty where it cannot be told."""
        if self._depth > _DEPTH:
            return ""
        self._depth += 1
        try:
            return self._combined(node) or self._part(node)
        finally:
            self._depth -= 1

    def _combined(self, node: ast.expr) -> str:
        """The path that several expressions give together."""
        parts: list[str] = []
        match node:
            case ast.BinOp(left=left, op=ast.Div(), right=right):
                parts = [str(Path(self.find(left), self.find(right)))]
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                parts = [self.find(left), self.find(right)]
            case ast.JoinedStr(values=values):
                parts = [self.find(value) for value in values]
            case ast.Call(func=function, args=arguments):
                parts = [self._called(function, [self.find(argument) for argument in arguments])]
        return "".join(parts) if all(parts) else ""

    def _part(self, node: ast.expr) -> str:
        """The path that a constant, a name or an attribute gives."""
        result = ""
        match node:
            case ast.Constant(value=str(text)):
                result = text
            case ast.Name(id="__file__"):
                result = str(self._file)
            case ast.Name(id=name) if name in self._names:
                result = self.find(self._names[name])
            case ast.FormattedValue(value=value):
                result = self.find(value)
            case ast.Attribute(value=owner, attr="parent"):
                result = _parent(self.find(owner), 1)
            case ast.Subscript(
                value=ast.Attribute(value=owner, attr="parents"), slice=ast.Constant(value=int(number))
            ):
                result = _parent(self.find(owner), number + 1)
            case ast.Subscript(value=ast.Attribute(attr="environ"), slice=ast.Constant(value=str(name))):
                result = os.environ.get(name, "")
        return result

    def _called(self, function: ast.expr, arguments: list[str]) -> str:
        """The result of a function of `os.path`, or of a method of a path."""
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        owner = function.value if isinstance(function, ast.Attribute) else None
        if name == "joinpath" or (name in _UNCHANGING and not arguments):
            arguments = [self.find(owner) if owner else "", *arguments]
        result = ""
        if name == "dirname":
            result = _parent(_joined(arguments), 1)
        elif name in _UNCHANGING or name in ("join", "joinpath"):
            result = _joined(arguments)
        elif name in ("getenv", "get") and arguments:
            result = os.environ.get(arguments[0], "") or "".join(arguments[1:])
        return result


def _parent(place: str, count: int) -> str:
    for _ in range(count):
        place = os.path.dirname(place)  # noqa: PTH120 - a text goes in and out
    return place


def _joined(parts: list[str]) -> str:
    return str(Path(*parts)) if parts and all(parts) else ""
