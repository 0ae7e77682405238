"""Options of `bench run` read from a TOML file."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import click

from harness.cli.option_names import NamedOption
from harness.cli.options import CommaList, Setting
from harness.errors import UserError


def read_config(ctx: click.Context, param: click.Parameter, path: Path | None) -> None:
    """Values of a TOML file become defaults, which flags override."""
    if path is None:
        return
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"--config {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"--config {path}: not valid TOML: {error}") from error
    options = {}
    for option in ctx.command.params:
        # A file cannot name another file of options.
        if option.name != "config":
            options.update(dict.fromkeys(_keys(option), option))
    defaults: dict[str, Any] = {}
    for key, value in content.items():
        known = options.get(key.replace("-", "_"))
        if known is None:
            raise UserError(f"--config {path}: unknown key '{key}'; known: {', '.join(sorted(options))}")
        # Each option once: of `seed` and `seeds`, one would be lost in silence.
        if known.name in defaults:
            raise UserError(f"--config {path}: {key} is set twice, under another name of the option")
        try:
            defaults[str(known.name)] = _convert(known, value)
        except ValueError as error:
            raise UserError(f"--config {path}: {key} = {value!r}: {error}") from error
    ctx.default_map = defaults


def _keys(option: click.Parameter) -> list[str]:
    """Names of an option in a file: as on the command line, with dashes or underscores."""
    names = []
    silent = option.silent if isinstance(option, NamedOption) else ()
    for flag in (*option.opts, *silent):
        names.append(flag.lstrip("-").replace("-", "_"))
    return names


def _table_values(table: Any) -> list[tuple[str, tuple[str, ...]]]:
    """`[set]`: name and values of each parameter. Raises ValueError for another kind of entry."""
    if not isinstance(table, dict):
        raise ValueError("expected a table of parameters, such as [set] with a line timestep = [50, 261]")
    settings = []
    for name, value in table.items():
        if isinstance(value, str):
            items: list[Any] = value.split(",")
        else:
            items = _as_list(value)
        texts = []
        for item in items:
            if not isinstance(item, str | int | float):
                raise ValueError(f"{name}: expected a text, a number, true or false, or a list of them")
            texts.append(str(item).strip())
        if not all(texts) or not texts:
            raise ValueError(f"{name}: has no value")
        settings.append((name, tuple(texts)))
    return settings


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _convert(option: click.Parameter, value: Any) -> Any:
    """Converts a value of a file to the texts of a command line. Raises ValueError for the wrong kind."""
    if isinstance(option.type, Setting):
        return _table_values(value)
    if getattr(option, "is_flag", False):
        if not isinstance(value, bool):
            raise ValueError("expected true or false")
        return value
    several = getattr(option, "multiple", False) or isinstance(option.type, CommaList)
    if isinstance(value, list) and not several:
        raise ValueError("expected one value, not a list")
    expected = "expected a text or a number"
    if several:
        expected += ", or a list of them"
    texts = []
    # A repeatable option takes one value without a list, too; click would read a text as a list of letters.
    for item in _as_list(value):
        # True and false are whole numbers to Python, but belong to flags alone.
        if not isinstance(item, str | int | float) or isinstance(item, bool):
            raise ValueError(expected)
        texts.append(str(item))
    if several:
        return texts
    return texts[0]
