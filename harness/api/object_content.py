"""A hash of what an object of a Python session is: its code and its values, as far as they can be read."""

from __future__ import annotations

import dis
import functools
import hashlib
import os
import pickle
import sys
import types
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from harness.plugins.closure import OURS, code_hash
from harness.plugins.module_files import ModuleFinder, find_distribution

_PLAIN = (type(None), bool, int, float, complex, str, bytes)

_BUILT_IN = (types.BuiltinFunctionType, types.WrapperDescriptorType, types.MethodDescriptorType)

_UNWRAPPED = (staticmethod, classmethod, functools.cached_property, property)

_NOT_CODE = frozenset(
    {"__dict__", "__weakref__", "__module__", "__annotations__", "__firstlineno__", "__static_attributes__"}
    | {
        "__slotnames__",
        "_abc_impl",
        "__annotate__",
        "__annotate_func__",
        "__annotations_cache__",
        "__type_params__",
    }
)
"""Entries of a class that say nothing of what its objects do, or differ from one session to the next."""


@dataclass(frozen=True)
class Content:
    """What was read of an object.

    Attributes:
        digest: 12 hex digits of a hash over its code, its values, and the versions of what it uses.
        unread: kinds of things in it that cannot be read.
    """

    digest: str
    unread: tuple[str, ...]


def content_of(value: object) -> Content:
    """Reads an object's class and attributes, what a function refers to, tensors, arrays and networks.

    The same code on the same version of Python has the same hash. Nothing of the user's is run, except what
    `pickle` would call. Modules of the user's own are read as files, with all that they import.
    """
    reader = _Reader()
    try:
        reader.add(value)
    except RecursionError:
        reader.unread["what is nested too deeply"] = None
    for name in sorted(reader.modules):
        reader.tell("module", name, code_hash(name))
    return Content(reader.hash.hexdigest()[:12], tuple(reader.unread))


@dataclass
class _Reader:
    """Hashes a value and all that it holds, each object once.

    Attributes:
        modules: those of the user's own that were met.
        unread: kinds of things that could not be read, in order; a set that keeps it.
    """

    hash: Any = field(default_factory=hashlib.sha256)
    modules: set[str] = field(default_factory=set)
    unread: dict[str, None] = field(default_factory=dict)
    _seen: dict[int, int] = field(default_factory=dict)
    # An address may be given to another object as soon as the first one is gone.
    _kept: list[object] = field(default_factory=list)
    _finder: ModuleFinder = field(default_factory=ModuleFinder)

    def tell(self, *parts: str | bytes) -> None:
        """Hashes texts, each with its length, so that no two sequences are alike."""
        for part in parts:
            content = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
            self.hash.update(b"%d:" % len(content))
            self.hash.update(content)

    def add(self, value: Any) -> None:
        """Hashes a value."""
        if type(value) in _PLAIN:
            self.tell(type(value).__name__, repr(value))
        elif id(value) in self._seen:
            self.tell("seen", str(self._seen[id(value)]))
        else:
            self._seen[id(value)] = len(self._seen)
            self._kept.append(value)
            self._add_new(value)

    def _add_all(self, values: Iterable[Any]) -> None:
        for value in values:
            self.add(value)
        self.tell("end")

    def _add_new(self, value: Any) -> None:
        if isinstance(value, types.ModuleType):
            self._add_module(value.__name__)
        elif isinstance(value, type):
            self._add_class(value)
        elif isinstance(value, types.FunctionType):
            self._add_function(value)
        elif isinstance(value, types.CodeType):
            self._add_code(value)
        elif isinstance(value, types.MethodType):
            self.tell("method")
            self._add_all((value.__func__, value.__self__))
        elif isinstance(value, functools.partial):
            self.tell("partial")
            self._add_all((value.func, value.args, value.keywords))
        elif isinstance(value, _UNWRAPPED):
            self.tell(type(value).__name__)
            self._add_all(getattr(value, name, None) for name in ("__func__", "func", "fget", "fset"))
        elif isinstance(value, _BUILT_IN):
            self.tell("built-in", str(getattr(value, "__module__", "")), value.__qualname__)
        else:
            self._add_value(value)

    def _add_value(self, value: Any) -> None:
        if type(value) in (list, tuple):
            self.tell(type(value).__name__)
            self._add_all(value)
        elif type(value) in (set, frozenset):
            self.tell(type(value).__name__, *sorted(content_of(item).digest for item in value))
        elif type(value) in (dict, types.MappingProxyType):
            self.tell("dict")
            self._add_all(item for pair in value.items() for item in pair)
        elif content := _bytes_of(value):
            self.tell(*content)
        else:
            self._add_object(value)

    def _add_object(self, value: Any) -> None:
        """Hashes an object as `pickle` takes it apart: its class, what makes it, its state and items."""
        self.tell("object")
        self.add(type(value))
        try:
            reduced = value.__reduce_ex__(2)
        except (TypeError, AttributeError, NotImplementedError, pickle.PickleError):
            self.unread[type(value).__qualname__] = None
            return
        if isinstance(reduced, str):
            self.tell(reduced)
            return
        for part in reduced:
            self.add(list(part) if isinstance(part, Iterator) else part)

    def _add_class(self, kind: type) -> None:
        self.tell("class", kind.__module__, kind.__qualname__)
        if self._is_foreign(kind.__module__):
            return
        self._add_all(kind.__bases__)
        for name in sorted(vars(kind).keys() - _NOT_CODE):
            self.tell(name)
            self.add(vars(kind)[name])

    def _add_function(self, function: types.FunctionType) -> None:
        self.tell("function", function.__qualname__)
        if self._is_foreign(function.__module__):
            self.tell(function.__module__)
            return
        self._add_all((function.__code__, function.__defaults__, function.__kwdefaults__))
        for cell in function.__closure__ or ():
            try:
                self.add(cell.cell_contents)
            except ValueError:
                self.tell("empty")
        for name in sorted(set(_global_names(function.__code__))):
            self.tell(name)
            if name in function.__globals__:
                self.add(function.__globals__[name])

    def _add_code(self, code: types.CodeType) -> None:
        self.tell("code", code.co_code, code.co_exceptiontable)
        counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
        names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
        self._add_all((counts, names, code.co_consts))

    def _add_module(self, name: str) -> None:
        self.tell("module", name)
        if not self._is_foreign(name) and name != "__main__":
            self.modules.add(name)

    def _is_foreign(self, name: str | None) -> bool:
        """Says whether a module is Python's, ours or installed, whose version is hashed in place of code."""
        top = (name or "").partition(".")[0]
        if top == "__main__":
            return False
        if top in sys.builtin_module_names or top in sys.stdlib_module_names:
            return True
        module = self._finder.find(name or "")
        if module is None:
            return False
        owners = self._finder.owners(module)
        for owner in owners:
            found = find_distribution(owner)
            self.tell(owner, found.version if found else "")
        # An edited clone is not installed, and all cells belong to its code anyway.
        return bool(owners) or _is_ours(top)


def _is_ours(top: str) -> bool:
    found = find_distribution(OURS)
    return top == "harness" or top in ((found.read_text("top_level.txt") or "").split() if found else ())


def _global_names(code: types.CodeType) -> Iterator[str]:
    """Names that a function looks up outside of itself, those of functions within it included."""
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            yield str(instruction.argval)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _global_names(constant)


def _bytes_of(value: Any) -> tuple[str | bytes, ...]:
    """Kind, shape and bytes of a tensor or an array, the text of a path; empty for any other value."""
    torch, numpy = sys.modules.get("torch"), sys.modules.get("numpy")
    if isinstance(value, os.PathLike):
        return type(value).__qualname__, os.fspath(value)
    if torch is not None and isinstance(value, torch.Tensor):
        if value.layout is not torch.strided or value.device.type == "meta" or value.is_quantized:
            return ()
        flat = value.detach().cpu().contiguous().reshape(-1)
        return "tensor", str(value.dtype), str(tuple(value.shape)), flat.view(torch.uint8).numpy().tobytes()
    if numpy is not None and isinstance(value, numpy.ndarray) and not value.dtype.hasobject:
        return "array", value.dtype.str, str(value.shape), numpy.ascontiguousarray(value).tobytes()
    return ()
