"""Objects that plugins make, each behind the guard: every call of their code goes through it."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from harness.isolation.copies import copied
from harness.isolation.guard import running_code_of
from harness.isolation.owner import Owner
from harness.specs import ImagePair, ImageSource


class GuardedFunction:
    """A function of a plugin. It is handed copies, and copies of its results are taken.

    It pickles where the function does.
    """

    def __init__(self, owner: Owner, function: Callable[..., Any]) -> None:
        self.owner, self.function = owner, function

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Calls the function."""
        arguments, options = copied(arguments), copied(options)
        with running_code_of(self.owner):
            result = self.function(*arguments, **options)
        return copied(result)

    def __repr__(self) -> str:
        return repr(self.function)

    def __reduce__(self) -> tuple[object, ...]:
        return _unpickle, (type(self), self.owner, _pickle(self.owner, self.function))


class Guarded:
    """An object that a plugin made. Its methods are called through the guard; its other members are copied.

    Attributes:
        owner: the settings that hold for it.
        wrapped: the object itself.
    """

    def __init__(self, owner: Owner, wrapped: Any) -> None:
        self.owner, self.wrapped = owner, wrapped
        self._methods: dict[str, bool] = {}

    def __getattr__(self, name: str) -> Any:
        # Python asks for these itself, also of an object that is not made yet.
        if name in ("owner", "wrapped", "_methods") or (name.startswith("__") and name.endswith("__")):
            raise AttributeError(name)
        # An answer is remembered: a localizer is asked for `many` with every pair.
        if self._methods.get(name):
            return self._method(name)
        if name in self._methods:
            raise AttributeError(name)
        with running_code_of(self.owner):
            is_there = hasattr(self.wrapped, name)
            value = getattr(self.wrapped, name) if is_there else None
        if not is_there:
            self._methods[name] = False
            raise AttributeError(f"'{type(self.wrapped).__name__}' object has no attribute '{name}'")
        if not callable(value):
            return self._member(name, value)
        self._methods[name] = True
        return self._method(name)

    def _method(self, name: str) -> GuardedFunction:
        return GuardedFunction(self.owner, getattr(self.wrapped, name))

    def _member(self, name: str, value: Any) -> Any:
        del name
        return copied(value)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Calls the object, such as a localizer or a prompt."""
        return GuardedFunction(self.owner, self.wrapped)(*arguments, **options)

    def __reduce__(self) -> tuple[object, ...]:
        return _unpickle, (type(self), self.owner, _pickle(self.owner, self.wrapped))


class GuardedExtractor(Guarded):
    """An extractor: each of its results is a list, so that its length is known."""

    def _method(self, name: str) -> GuardedFunction:
        function = super()._method(name)
        if name in ("extract", "extract_pairs"):
            method = function.function
            return GuardedFunction(self.owner, lambda requests: list(method(requests)))
        return function


class GuardedMatcher(Guarded):
    """A matcher: its results are a list, so that its length is known."""

    def _method(self, name: str) -> GuardedFunction:
        function = super()._method(name)
        if name == "match":
            method = function.function
            return GuardedFunction(self.owner, lambda pairs: list(method(pairs)))
        return function


class GuardedDataset(Guarded):
    """A split of a dataset. Its pairs have guarded pictures, where those are of a class of the plugin."""

    def __len__(self) -> int:
        with running_code_of(self.owner):
            return len(self.wrapped)

    def __getitem__(self, index: int) -> Any:
        with running_code_of(self.owner):
            return _guarded_pair(self.owner, self.wrapped[index])


class GuardedPicture(Guarded):
    """A picture of a dataset."""


def _guarded_pair(owner: Owner, pair: Any) -> Any:
    if not isinstance(pair, ImagePair):
        # Whoever reads the split says so.
        return pair
    return replace(
        pair,
        source=_guarded_picture(owner, pair.source),
        target=_guarded_picture(owner, pair.target),
        source_points=copied(pair.source_points),
        target_points=copied(pair.target_points),
        labels=copied(pair.labels),
    )


def _guarded_picture(owner: Owner, picture: ImageSource) -> ImageSource:
    # Most datasets hand out our own files, whose code is ours.
    if type(picture).__module__.startswith("harness."):
        return picture
    guarded: ImageSource = GuardedPicture(owner, picture)
    return guarded


def without_guard(value: Any) -> Any:
    """The plugin's own object or function, for its name in messages and its module."""
    if isinstance(value, Guarded):
        return value.wrapped
    return value.function if isinstance(value, GuardedFunction) else value


def _pickle(owner: Owner, value: Any) -> bytes:
    with running_code_of(owner):
        return pickle.dumps(value)


def _unpickle(kind: type[Any], owner: Owner, content: bytes) -> Any:
    # It imports the plugin's module in the other process.
    with running_code_of(owner):
        value = pickle.loads(content)
    return kind(owner, value)
