"""One file of Python source: a hash of what it says, and the modules that it imports. Nothing is imported.

The hash is that of the syntax tree, so that comments, blank lines and formatting do not count. Documentation
strings do: a program can read them.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from harness.plugins.search_folders import added_folders

_SKIPPED_FIELDS = frozenset({"ctx", "kind", "type_comment", "type_ignores"})
"""Fields of a syntax tree that follow from the others, or do nothing."""

_FIELDS: dict[type, tuple[str, ...]] = {
    kind: tuple(sorted(set(kind._fields) - _SKIPPED_FIELDS))
    for kind in vars(ast).values()
    if isinstance(kind, type) and issubclass(kind, ast.AST)
}

_INTERESTING = (
    ast.Import,
    ast.ImportFrom,
    ast.Call,
    ast.If,
    ast.Constant,
    ast.Assign,
    ast.AnnAssign,
    ast.AugAssign,
)


@dataclass(frozen=True)
class Import:
    """Modules that one statement, or one call of `import_module`, imports.

    Attributes:
        module: dotted name; empty for `from . import x`.
        level: number of leading dots.
        names: imported from it, submodules perhaps; `*` for all of them.
        prefix: beginning of the names of submodules, for a name that is put together when the code runs, as
            in `import_module(f"models.net_{size}")`; None for a whole name.
        is_lazy: whether it stands in the module's own `__getattr__`, so that importing the module does
            nothing.
    """

    module: str
    level: int = 0
    names: tuple[str, ...] = ()
    prefix: str | None = None
    is_lazy: bool = False


@dataclass(frozen=True)
class Source:
    """All that matters of one file.

    Attributes:
        digest: hash that is the same for all versions of Python and on every machine.
        texts: its string constants that might be names of files.
        folders: those that it adds to the search path of modules.
    """

    digest: str
    imports: tuple[Import, ...] = ()
    texts: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()


def read_source(path: Path) -> Source:
    """Reads a file of Python source; one that is not Python is hashed by its bytes. Raises `OSError`."""
    status = path.stat()
    return _read_source(path, status.st_mtime_ns, status.st_size)


# With time and size, so that an edited file is read again in a process that lives long, such as a notebook.
@lru_cache(maxsize=10_000)
def _read_source(path: Path, _modified: int, _size: int) -> Source:
    content = path.read_bytes()
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        # A template, or the Python of another version: nobody can import it here.
        return Source(hashlib.sha256(content).hexdigest())
    words, nodes = _canonical_words(tree)
    digest = hashlib.sha256("\x1f".join(words).encode("utf-8", "surrogatepass"))
    return Source(
        digest=digest.hexdigest(),
        imports=tuple(_imports(tree, nodes)),
        texts=tuple(_file_texts(nodes)),
        folders=tuple(added_folders(nodes, path)),
    )


def _canonical_words(tree: ast.AST) -> tuple[list[str], list[ast.AST]]:
    """A syntax tree in words that no version of Python changes, and its nodes of interest.

    `ast.dump` and `ast.unparse` write other texts with every version, and call themselves for each level of a
    tree: a long chain of additions is deeper than Python allows.
    """
    words: list[str] = []
    nodes: list[ast.AST] = []
    # Texts on the stack are words; nodes become words when their turn comes.
    stack: list[str | ast.AST] = [tree]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            words.append(item)
            continue
        kind = type(item)
        words.append(f"({kind.__name__}")
        if kind in _INTERESTING:
            nodes.append(item)
        stack.append(")")
        for name in _FIELDS[kind]:
            value: Any = getattr(item, name, None)
            # Later versions add fields that are empty in older code.
            if (value is not None and value != []) or kind is ast.Constant:
                _push(stack, _merged_texts(value) if kind is ast.JoinedStr else value)
                stack.append(f"{name}=")
    return words, nodes


def _push(stack: list[str | ast.AST], value: object) -> None:
    """Puts a field's value on the stack, so that its parts come off in their order."""
    if isinstance(value, ast.AST):
        stack.append(value)
    elif isinstance(value, list):
        stack.append("]")
        for item in reversed(value):
            stack.append(item if isinstance(item, ast.AST) else _word(item))
        stack.append("[")
    else:
        stack.append(_word(value))


def _merged_texts(values: Sequence[ast.expr]) -> list[object]:
    """Parts of an f-string, neighbouring texts in one: versions of Python cut them differently."""
    merged: list[object] = []
    for value in values:
        text = value.value if isinstance(value, ast.Constant) else None
        if not isinstance(text, str):
            merged.append(value)
        elif merged and isinstance(merged[-1], str):
            merged[-1] += text
        elif text:
            merged.append(text)
    return merged


def _word(value: object) -> str:
    """A name or a constant."""
    if isinstance(value, str):
        return f"'{value}"
    if isinstance(value, int) and not isinstance(value, bool):
        # Not decimal, which Python refuses to write for numbers of thousands of digits.
        return hex(value)
    return repr(value)


def _imports(tree: ast.Module, nodes: Iterable[ast.AST]) -> Iterator[Import]:
    nodes = list(nodes)
    skipped = _type_checking_nodes(nodes)
    lazy = _module_getattr_nodes(tree)
    importers = _importers(nodes)
    texts = _named_texts(nodes)
    for node in nodes:
        if id(node) in skipped:
            continue
        is_lazy = id(node) in lazy
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, is_lazy=is_lazy)
        elif isinstance(node, ast.ImportFrom):
            names = tuple(alias.name for alias in node.names)
            yield Import(node.module or "", node.level, names, is_lazy=is_lazy)
        elif isinstance(node, ast.Call) and _name_of(node.func) in importers:
            yield from _called_import(node, is_lazy, texts)


_IMPORTERS = frozenset({"import_module", "__import__", "run_module", "resolve_name"})
"""Functions of the standard library that import the module that their first argument names."""


def _importers(nodes: Iterable[ast.AST]) -> set[str]:
    """Names of functions that import, those that a module gives them included."""
    names = set(_IMPORTERS)
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            names.update(alias.asname for alias in node.names if alias.asname and alias.name in _IMPORTERS)
    return names


def _named_texts(nodes: Iterable[ast.AST]) -> dict[str, str]:
    """Name -> the text that an assignment gives it."""
    texts: dict[str, str] = {}
    for node in nodes:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            for target in node.targets:
                if isinstance(target, ast.Name) and isinstance(node.value.value, str):
                    texts[target.id] = node.value.value
    return texts


def _type_checking_nodes(nodes: Iterable[ast.AST]) -> set[int]:
    """Statements below `if TYPE_CHECKING:`, which never run."""
    skipped: set[int] = set()
    for node in nodes:
        if isinstance(node, ast.If) and _name_of(node.test) == "TYPE_CHECKING":
            for statement in node.body:
                skipped.update(map(id, ast.walk(statement)))
    return skipped


def _module_getattr_nodes(tree: ast.Module) -> set[int]:
    nodes: set[int] = set()
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef) and statement.name == "__getattr__":
            nodes.update(map(id, ast.walk(statement)))
    return nodes


def _called_import(call: ast.Call, is_lazy: bool, texts: Mapping[str, str]) -> Iterator[Import]:
    """`import_module("a.b")`, `import_module(".b", __package__)`, `import_module(f"a.{name}")`."""
    keywords = [keyword.value for keyword in call.keywords if keyword.arg in ("name", "mod_name")]
    arguments = [*call.args[:1], *keywords]
    if not arguments:
        return
    text, is_whole = _leading_text(arguments[0], texts)
    if _name_of(call.func) == "resolve_name":
        text = text.partition(":")[0]
    name = text.lstrip(".")
    level = len(text) - len(name)
    if is_whole and name:
        yield Import(name, level, is_lazy=is_lazy)
    elif text:
        package, _, prefix = name.rpartition(".")
        if package or level:
            yield Import(package, level, prefix=prefix, is_lazy=is_lazy)


def _leading_text(node: ast.expr, texts: Mapping[str, str]) -> tuple[str, bool]:
    """The text that an expression begins with, and whether that is all of it."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value, True
    if isinstance(node, ast.Name) and node.id in texts:
        return texts[node.id], True
    if isinstance(node, ast.FormattedValue):
        return _leading_text(node.value, texts)
    parts: list[ast.expr] = []
    if isinstance(node, ast.JoinedStr):
        parts = node.values
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        parts = [node.left, node.right]
    elif isinstance(node, ast.Call) and _name_of(node.func) == "join" and node.args:
        return _joined_text(node, texts)
    beginning = ""
    for part in parts:
        text, is_whole = _leading_text(part, texts)
        beginning += text
        if not is_whole:
            return beginning, False
    return beginning, bool(parts)


def _joined_text(call: ast.Call, texts: Mapping[str, str]) -> tuple[str, bool]:
    """The text of `".".join(["a", "b"])`."""
    items = call.args[0].elts if isinstance(call.args[0], ast.List | ast.Tuple) else []
    owner = call.func.value if isinstance(call.func, ast.Attribute) else call.func
    separator, is_known = _leading_text(owner, texts)
    words = [_leading_text(item, texts) for item in items]
    if is_known and words and all(is_whole for _, is_whole in words):
        return separator.join(text for text, _ in words), True
    return "", False


def _name_of(node: ast.expr) -> str:
    """Last part of a name: `import_module` of `importlib.import_module`."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _file_texts(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """String constants that look like names of files: short, on one line, with a suffix."""
    seen: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
            if len(text) < 256 and "." in text and text.isprintable() and text not in seen:
                seen.add(text)
                yield text
