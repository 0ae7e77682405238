"""Where in a TOML file of options a value stands, for messages."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from harness.cli.option_names import NamedOption
from harness.errors import SeveralErrors, UserError

_META = "harness.cli.config_file"
"""Place of the file in a context's `meta`."""


@dataclass(frozen=True)
class ConfigFile:
    """A file of options that was read for a command.

    Attributes:
        keys: parameter of the command -> its key in the file.
        settings: names in the table [set].
    """

    path: Path
    text: str
    keys: Mapping[str, str] = field(default_factory=dict)
    settings: Sequence[str] = ()

    def place(self, *keys: str) -> str:
        """`sweep.toml:4`, the line of a key, or of a key in a table."""
        line = key_line(self.text, *keys)
        return f"{self.path}:{line}" if line else str(self.path)


def key_line(text: str, *keys: str) -> int | None:
    """The line, from 1, on which a value begins in a TOML text that is valid; None for one that is not there.

    The text is read up to each line in turn: the value stands where it is first there. Texts and lists over
    several lines count by their first one.
    """
    lines = text.splitlines(keepends=True)
    begun = 1
    for number in range(1, len(lines) + 1):
        try:
            content = tomllib.loads("".join(lines[:number]))
        except tomllib.TOMLDecodeError:
            # Within a text or a list of several lines.
            continue
        if _has(content, keys):
            return begun
        begun = number + 1
    return None


def _has(content: Any, keys: Sequence[str]) -> bool:
    for key in keys:
        if not isinstance(content, dict) or key not in content:
            return False
        content = content[key]
    return True


def keep_config(ctx: click.Context, config: ConfigFile) -> None:
    """Keeps the file for the messages of a command."""
    ctx.meta[_META] = config


def place_of(ctx: click.Context, name: str) -> str:
    """`sweep.toml:4: ` for a parameter of a command whose value comes from the file; empty for others."""
    config: ConfigFile | None = ctx.meta.get(_META)
    if config and name in config.keys and ctx.get_parameter_source(name) is ParameterSource.DEFAULT_MAP:
        return f"{config.place(config.keys[name])}: "
    return ""


class ConfiguredCommand(click.Command):
    """A command with options from a file: its messages about them name the file and the line."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Reads the command line."""
        with _naming_the_file(ctx):
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command."""
        with _naming_the_file(ctx):
            return super().invoke(ctx)


@contextmanager
def _naming_the_file(ctx: click.Context) -> Iterator[None]:
    try:
        yield
    except click.BadParameter as error:
        name = str(error.param.name) if error.param else ""
        if not (place := place_of(ctx, name)):
            raise
        key = ctx.meta[_META].keys[name]
        raise UserError(f"{place}{key}: {error.message}") from error
    except SeveralErrors as error:
        raise SeveralErrors([_with_place(ctx, line) for line in error.lines]) from error
    except UserError as error:
        line = _with_place(ctx, str(error))
        if line == str(error):
            raise
        raise UserError(line) from error


def _with_place(ctx: click.Context, line: str) -> str:
    """A message, with the place of what it begins with where that is from the file."""
    config: ConfigFile | None = ctx.meta.get(_META)
    if config is None:
        return line
    if setting := re.match(r"--(?:set )?([^\s:=]+)", line):
        name = setting[1]
        if name in config.settings and name not in flag_settings(ctx):
            rest = line.removeprefix("--set ").removeprefix("--")
            return f"{config.place('set', name)}: [set] {rest}"
    begin = re.match(r"(--[a-z-]+)", line)
    unknown = re.match(r"unknown (\w+) '", line)
    flag = begin[1] if begin else f"--{unknown[1]}" if unknown else ""
    for option in ctx.command.params:
        silent = option.silent if isinstance(option, NamedOption) else ()
        if flag in (*option.opts, *silent):
            return f"{place_of(ctx, str(option.name))}{line}"
    return line


def flag_settings(ctx: click.Context) -> frozenset[str]:
    """Names that --set has on the command line itself."""
    names: frozenset[str] = ctx.meta.get(f"{_META}.flags", frozenset())
    return names


def keep_flag_settings(ctx: click.Context, names: Sequence[str]) -> None:
    """Keeps the names that --set has on the command line itself."""
    ctx.meta[f"{_META}.flags"] = frozenset(names)
