"""Options of `bench run` read from a TOML file."""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from harness.cli.config_file import ConfigFile, keep_config
from harness.cli.option_names import NamedOption
from harness.cli.options import CommaList, Setting
from harness.errors import UserError, unknown_name
from harness.files import parse_toml


def read_config(ctx: click.Context, param: click.Parameter, path: Path | None) -> None:
    """Values of a TOML file become defaults, which flags override."""
    if path is None:
        return
    try:
        # Some editors put a mark before the text that says it is in UTF-8.
        text = path.read_text(encoding="utf-8-sig")
        content = parse_toml(text)
    except OSError as error:
        raise UserError(f"--config {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"--config {path}: not valid TOML: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise UserError(_syntax_message(path, text, str(error))) from error
    except ValueError as error:  # beyond what Python reads, or a name that no file can have
        raise UserError(f"--config {path}: not valid TOML: {error}") from error
    config = ConfigFile(path, text)
    options = _options_by_key(ctx.command)
    defaults: dict[str, Any] = {}
    keys: dict[str, str] = {}
    for key, value in content.items():
        known = options.get(key.replace("-", "_"))
        if known is None:
            raise UserError(f"{config.place(key)}: {unknown_name('key', key, _shown_keys(ctx.command))}")
        name = str(known.name)
        # Each option once: of `seed` and `seeds`, one would be lost in silence.
        if name in defaults:
            raise UserError(
                f"{config.place(key)}: {key} is set twice, as {keys[name]} before; leave one of them out"
            )
        try:
            defaults[name], keys[name] = _convert(known, value), key
        except ValueError as error:
            place = config.place(key)
            if isinstance(value, dict) and error.args[1:]:
                # The faulty key of the table.
                place = config.place(key, error.args[1])
            raise UserError(f"{place}: {_fault(key, value)}{error.args[0]}") from error
    settings = tuple(name for name, _ in defaults.get("settings", ()))
    keep_config(ctx, replace(config, keys=keys, settings=settings))
    ctx.default_map = defaults


def _syntax_message(path: Path, text: str, problem: str) -> str:
    """`sweep.toml:3: not valid TOML: Invalid value (column 11)`, where Python says the line."""
    if position := re.search(r" \(at line (\d+), column (\d+)\)$", problem):
        return f"{path}:{position[1]}: not valid TOML: {problem[: position.start()]} (column {position[2]})"
    # A list or a text that is never closed is noticed at the end alone.
    return f"{path}:{len(text.splitlines())}: not valid TOML: {problem}"


def _fault(key: str, value: Any) -> str:
    """`workers = []: `; of a table, which may be long, its name alone."""
    return f"[{key}] " if isinstance(value, dict) else f"{key} = {value!r}: "


def _options_by_key(command: click.Command) -> dict[str, click.Parameter]:
    """The options of a command by all of their names in a file; dashes are underscores."""
    options: dict[str, click.Parameter] = {}
    for option in command.params:
        # A file cannot name another file of options.
        if option.name != "config":
            silent = option.silent if isinstance(option, NamedOption) else ()
            for flag in (*option.opts, *silent):
                options[flag.lstrip("-").replace("-", "_")] = option
    return options


def _shown_keys(command: click.Command) -> list[str]:
    """The names for a message: as on the command line."""
    options = (option for option in command.params if option.name != "config")
    return [flag.removeprefix("--") for option in options for flag in option.opts if flag.startswith("--")]


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
                raise ValueError(f"{name}: expected a text, a number, true or false, or a list of them", name)
            texts.append(str(item).strip())
        if not all(texts) or not texts:
            raise ValueError(f"{name}: has no value", name)
        settings.append((name, tuple(texts)))
    return settings


def _has_nul(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_nul, (*value.keys(), *value.values())))
    if isinstance(value, list):
        return any(map(_has_nul, value))
    return isinstance(value, str) and "\0" in value


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _convert(option: click.Parameter, value: Any) -> Any:
    """Converts a value of a file to the texts of a command line. Raises ValueError for the wrong kind."""
    # Nobody can type it, so that nothing behind the command line expects it.
    if _has_nul(value):
        raise ValueError("has the character U+0000, which no name or path can have; remove it")
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
