"""Option types that several commands share."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from harness.plugins.host import Host

if TYPE_CHECKING:
    _ParamType = click.ParamType[tuple[Any, ...]]
else:  # generic for type checkers only: older releases of click cannot subscript it
    _ParamType = click.ParamType

Command = TypeVar("Command", bound=Callable[..., Any])
Arguments = TypeVar("Arguments")
Result = TypeVar("Result")


def typed_arguments(
    record: type[Arguments],
) -> Callable[[Callable[[Host, Arguments], Result]], Callable[..., Result]]:
    """Decorates the function of a command that has many options: `@typed_arguments(RunArguments)`.

    click hands over options by name, as keywords that no type checker can see. The function gets them as one frozen
    dataclass instead, whose fields are named as the options, after the host of the plugins. The names are checked when
    the command is called: an option without a field, or a field without an option, raises a TypeError.
    """

    def decorate(function: Callable[[Host, Arguments], Result]) -> Callable[..., Result]:
        @click.pass_obj
        @functools.wraps(function)
        def command(host: Host, /, **options: Any) -> Result:
            return function(host, record(**options))

        return command

    return decorate


class CommaList(_ParamType):
    """`a,b,c` -> a tuple; a list from a TOML file is taken as it is."""

    name = "list"

    def __init__(self, convert: Callable[[str], Any] = str) -> None:
        self._convert = convert

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[Any, ...]:
        items = (
            value.split(",")
            if isinstance(value, str)
            else value
            if isinstance(value, list | tuple)
            else [value]
        )
        try:
            found = tuple(self._convert(str(item).strip()) for item in items if str(item).strip())
        except ValueError:
            self.fail(f"'{value}' is not a list of {self._convert.__name__}s separated by commas", param, ctx)
        if not found:
            self.fail("is empty", param, ctx)
        return found


class NumberList(CommaList):
    """`50,261`, `0..500:100` (both ends included) or `0..500` (in steps of 50) -> whole numbers."""

    name = "numbers"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[Any, ...]:
        items = super().convert(value, param, ctx)
        try:
            found = tuple(number for item in items for number in _numbers(item))
        except ValueError:
            self.fail(
                f"'{value}' is no list of whole numbers such as 50,261 or 0..500:50 (0 or more, upwards)",
                param,
                ctx,
            )
        return found


def _numbers(text: str) -> Iterable[int]:
    """One item of a list of numbers. Raises ValueError."""
    first, dots, rest = text.partition("..")
    if not dots:
        return (_whole(first),)
    last, _, step = rest.partition(":")
    numbers = range(_whole(first), _whole(last) + 1, int(step or 50))
    if not numbers:
        raise ValueError(text)
    return numbers


def _whole(text: str) -> int:
    """A number from 0. Raises ValueError."""
    if int(text) < 0:
        raise ValueError(text)
    return int(text)


def positive(text: str) -> int:
    """A number from 1. Raises ValueError."""
    if int(text) < 1:
        raise ValueError(text)
    return int(text)


positive.__name__ = "number above 0"


def gigabytes(text: str) -> int:
    """GB -> bytes, from 0. Raises ValueError."""
    value = float(text)
    if not 0 <= value < float("inf"):
        raise ValueError(text)
    return round(value * 10**9)


gigabytes.__name__ = "number of GB"


def number_range(text: str) -> float:
    """An alpha: above 0. Raises ValueError."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise ValueError(text)
    return value


number_range.__name__ = "positive number"


def data_root(command: Command) -> Command:
    """--data-root"""
    return click.option(
        "--data-root",
        type=click.Path(path_type=Path),
        envvar="BENCH_DATA_ROOT",
        default=Path("data"),
        show_default=True,
        help="Folder that holds SPair-71k/, pf-pascal/, pf-willow/. [env: BENCH_DATA_ROOT]",
    )(command)


def weights_root(command: Command) -> Command:
    """--weights-root"""
    return click.option(
        "--weights-root",
        type=click.Path(path_type=Path),
        help="Folder of fetched weights; correspondence-bench/weights/ in the user's cache otherwise. [env: BENCH_WEIGHTS]",
    )(command)


def weights(command: Command) -> Command:
    """--weights and --weights-root"""
    chosen = click.option(
        "--weights",
        multiple=True,
        metavar="tiny|paper|NAME=PATH",
        help="Bundled small weights (the default), those that the papers used, or a file or folder of your own for a source "
        "('bench weights list' shows their names). Repeatable.",
    )
    return chosen(weights_root(command))
