"""Reads the arguments of Python's functions as the commands read their options.

Wherever a command takes a list, a function takes one text, a text with commas, or a sequence of texts; a text
is never taken letter by letter. An item of a sequence is one item, commas and all.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

from harness.api.lists import cut_paths, split_at_commas
from harness.errors import UserError, unknown_name
from harness.files import with_home
from harness.isolation.time_limit import MOST_SECONDS
from harness.records.slices import POINT_SLICES
from harness.running.parameters import IntegerRule, read_integers
from harness.specs import AVERAGINGS, Averaging, Scalar, read_alpha
from harness.sweep import Shard

Texts = str | Iterable[str]
"""One text, a text with commas, or a sequence of texts."""

Numbers = float | str | Iterable[float | str]
"""One number, a text with commas, or a sequence of numbers."""

Integers = int | str | Iterable[int | str]
"""The same of whole numbers; a text may be a range, such as `0..500`, with a step behind a colon."""

FilePath = str | os.PathLike[str]
"""A path, as a text or a `pathlib.Path`."""

Default = TypeVar("Default")


def read_texts(name: str, value: Texts) -> tuple[str, ...]:
    """The texts of a list.

    Args:
        name: of the argument, for messages.

    Raises:
        UserError: an item is no text, or the list is empty.
    """
    items = split_at_commas(value) if isinstance(value, str) else _items(name, value)
    texts = []
    for item in items:
        if not isinstance(item, str):
            raise UserError(f"{name}: expected a text or a list of texts, not {item!r}")
        # A comma too many, as at the end of `a,b,`, does no harm.
        if item.strip():
            texts.append(item.strip())
    if not texts:
        raise UserError(f"{name}: is empty")
    return tuple(texts)


def read_datasets(name: str, value: Texts) -> tuple[str, ...]:
    """Datasets, as `name` or `name=PATH`. Raises `UserError` also for a path cut at its own comma."""
    if isinstance(value, str):
        for path in cut_paths(split_at_commas(value)):
            raise UserError(f'{name}: {path} has a comma: give a list, [..., "NAME={path}"]')
    return read_texts(name, value)


def read_alphas(name: str, value: Numbers) -> tuple[float, ...]:
    """Thresholds. Raises `UserError` for one that is none."""
    alphas = []
    for item in _numbers(name, value):
        try:
            alphas.append(read_alpha(float(item)))
        except (TypeError, ValueError):
            raise UserError(f"{name}: {item!r} is not a positive number, such as 0.1") from None
    return tuple(alphas)


def read_whole_numbers(name: str, value: Integers, rule: IntegerRule) -> tuple[int, ...]:
    """Whole numbers and ranges of them. Raises `UserError` for another kind, or below the rule's minimum."""
    numbers: list[int] = []
    for item in _numbers(name, value):
        try:
            # As texts: 2.5 and True are no whole numbers.
            numbers += read_integers(str(item), rule)
        except ValueError:
            bound = "" if rule.minimum is None else f" from {rule.minimum}"
            raise UserError(
                f"{name}: {item!r} is not a whole number{bound}, or a range such as '1..9:2'"
            ) from None
    return tuple(numbers)


def read_settings(name: str, value: Mapping[str, Any]) -> dict[str, tuple[Scalar, ...]]:
    """Parameters and their values: one, a text with commas, or a sequence. Raises `UserError`."""
    if not isinstance(value, Mapping):
        raise UserError(f"{name}: expected a dictionary such as {{'layer': [9, 11]}}, not {value!r}")
    settings: dict[str, tuple[Scalar, ...]] = {}
    for key, given in value.items():
        values: Iterable[Any]
        if isinstance(given, str):
            values = read_texts(f"{name}[{key!r}]", given)
        elif isinstance(given, Iterable):
            values = tuple(given)
        else:
            values = (given,)
        for item in values:
            if not isinstance(item, str | int | float | bool | None):
                raise UserError(f"{name}[{key!r}]: expected a number or a text, not {item!r}")
        settings[str(key)] = tuple(values)
        if not settings[str(key)]:
            raise UserError(f"{name}[{key!r}]: is empty")
    return settings


def read_paths(name: str, value: Mapping[str, Any]) -> tuple[str, ...]:
    """`{"method": path or paths}` as `METHOD=PATH`, one of each. Raises `UserError` for anything else."""
    if not isinstance(value, Mapping):
        raise UserError(f"{name}: expected a dictionary of methods and paths, not {value!r}")
    texts = []
    for key, given in value.items():
        paths = [given] if isinstance(given, str | os.PathLike) else _items(name, given)
        texts += [f"{key}={os.fspath(path)}" for path in paths]
    return tuple(texts)


def read_count(name: str, value: Any, least: int) -> int:
    """A number of things. Raises `UserError` below the least one and for anything but a whole number."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise UserError(f"{name}={value!r}: expected a whole number from {least}")
    return value


def read_shard(name: str, value: Any) -> Shard:
    """One part of the pairs of a run, as `3/8`. Raises `UserError`."""
    try:
        return Shard.parse(str(value))
    except ValueError as error:
        raise UserError(f"{name}={value!r}: {error}") from error


def read_seconds(name: str, value: Any) -> float:
    """A limit of time in seconds. Raises `UserError`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= MOST_SECONDS:
        raise UserError(f"{name}={value!r}: expected a number of seconds above 0")
    return float(value)


def read_gigabytes(name: str, value: Any) -> int:
    """A number of GB as bytes. Raises `UserError`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 10**9:
        raise UserError(f"{name}={value!r}: expected a number of GB")
    return round(value * 10**9)


def read_number(name: str, value: Any, least: float) -> float | None:
    """A number, or None. Raises `UserError` below the least one and for anything else."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= 1e300:
        raise UserError(f"{name}={value!r}: expected a number from {least:g}")
    return float(value)


def read_choice(kind: str, value: str, known: Iterable[str]) -> str:
    """One of the known names. Raises `UserError` for any other, with the nearest ones."""
    names = list(known)
    if value not in names:
        raise unknown_name(kind, str(value), names)
    return value


def read_averaging(value: str | None) -> Averaging | None:
    """A kind of average. Raises `UserError` for an unknown one."""
    if value is None:
        return None
    return cast("Averaging", read_choice("averaging", value, AVERAGINGS))


def read_point_slice(value: str | None) -> str | None:
    """A slice of points. Raises `UserError` for an unknown one."""
    return None if value is None else read_choice("point_slice", value, POINT_SLICES)


def read_path(value: FilePath) -> Path:
    """A path, with `~` as the user's home."""
    return with_home(value)


def read_data_root(value: FilePath | None) -> Path:
    """The folder of datasets: the argument, else BENCH_DATA_ROOT, else `data`."""
    return read_path(value if value is not None else os.environ.get("BENCH_DATA_ROOT") or "data")


def _numbers(name: str, value: Any) -> list[Any]:
    if isinstance(value, str):
        return list(read_texts(name, value))
    items = _items(name, value) if isinstance(value, Iterable) else [value]
    if not items:
        raise UserError(f"{name}: is empty")
    return items


def _items(name: str, value: Any) -> list[Any]:
    if not isinstance(value, Iterable) or isinstance(value, bytes):
        raise UserError(f"{name}: expected a text or a list of texts, not {value!r}")
    return list(value)
