"""Option types that several commands share."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from harness.api.lists import cut_paths, large_alphas_question, split_at_commas
from harness.cli.config_file import keep_flag_settings, place_of
from harness.cli.option_names import option
from harness.errors import UserError
from harness.isolation.time_limit import MOST_SECONDS
from harness.plugins.host import Host
from harness.records.slices import POINT_SLICES
from harness.running.parameters import IntegerRule, read_integers
from harness.specs import AVERAGINGS, read_alpha
from harness.sweep import Shard

if TYPE_CHECKING:
    _ParamType = click.ParamType[tuple[Any, ...]]
    _ShardType = click.ParamType[Shard]
else:  # generic for type checkers only: older releases of click cannot subscript it
    _ParamType = _ShardType = click.ParamType

Command = TypeVar("Command", bound=Callable[..., Any])
Arguments = TypeVar("Arguments")
Result = TypeVar("Result")


def typed_arguments(
    record: type[Arguments],
) -> Callable[[Callable[[Host, Arguments], Result]], Callable[..., Result]]:
    """Decorates the function of a command that has many options: `@typed_arguments(RunArguments)`.

    click passes options by name, as keywords that no type checker can see. The function gets them as one
    frozen dataclass instead, after the host of the plugins. The fields are named as the options. An option
    without a field, or a field without an option, raises a TypeError when the command is called.
    """

    def decorate(function: Callable[[Host, Arguments], Result]) -> Callable[..., Result]:
        @click.pass_obj
        @functools.wraps(function)
        def command(host: Host, /, **options: Any) -> Result:
            return function(host, record(**options))

        return command

    return decorate


class CommaList(_ParamType):
    """`a,b,c` -> a tuple; a list from a TOML file is taken as it is.

    Commas in double quotes separate nothing: `folder="my photos, 2024",shapes`.
    """

    name = "list"

    def __init__(self, convert: Callable[[str], Any] = str) -> None:
        self._convert = convert

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[Any, ...]:
        items = value if isinstance(value, list | tuple) else split_at_commas(str(value))
        converted = []
        try:
            for item in items:
                text = str(item).strip()
                # A comma too many, as at the end of `a,b,`, does no harm.
                if text:
                    converted.append(self._convert(text))
        except ValueError:
            # The names of the functions that convert are made for this message.
            self.fail(f"'{value}' is not a list of {self._convert.__name__}s separated by commas", param, ctx)
        if not converted:
            self.fail("is empty", param, ctx)
        return tuple(converted)


def averaging_option(help_text: str) -> Callable[[Command], Command]:
    """Makes the option `--averaging`, None where the user says nothing."""
    return option("--averaging", type=click.Choice(AVERAGINGS), help=help_text)


def slice_option(command: Command) -> Command:
    """The option `--slice`, None where the user says nothing."""
    return option(
        "--slice",
        "point_slice",
        type=click.Choice(POINT_SLICES),
        help="Only points that look like another one of the target count, from stored predictions.",
    )(command)


def warn_of_large_alphas(
    ctx: click.Context, param: click.Parameter, alphas: tuple[float, ...] | None
) -> tuple[float, ...] | None:
    """Asks about thresholds above 1, at which a point may miss by more than the whole object: percent?"""
    if question := large_alphas_question(alphas or ()):
        click.echo(f"bench: {place_of(ctx, str(param.name))}--alphas {question}", err=True)
    return alphas


class DatasetList(CommaList):
    """`pf-willow,folder=my/photos` -> the texts; a path that was cut at its own comma is told."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[Any, ...]:
        if isinstance(value, str):
            for path in cut_paths(split_at_commas(value)):
                self.fail(f'{path} has a comma: write the path in double quotes, NAME="{path}"', param, ctx)
        return super().convert(value, param, ctx)


class NumberList(CommaList):
    """`50,261`, `0..500:100` (both ends included) or `0..500` (in steps of the rule) -> whole numbers."""

    name = "numbers"

    def __init__(self, rule: IntegerRule) -> None:
        super().__init__()
        self._rule = rule

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        texts = super().convert(value, param, ctx)
        numbers: list[int] = []
        try:
            for text in texts:
                numbers += read_integers(text, self._rule)
        except ValueError:
            self.fail(
                f"'{value}' is not a list of whole numbers such as 50,261 or 0..500:50 (0 or more, upwards)",
                param,
                ctx,
            )
        return tuple(numbers)


class ShardNumber(_ShardType):
    """`3/8` -> the third of eight shards."""

    name = "shard"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Shard:
        try:
            return value if isinstance(value, Shard) else Shard.parse(str(value))
        except ValueError as error:
            self.fail(f"'{value}' {error}", param, ctx)


class Setting(_ParamType):
    """`level=up-block 1,up-block 2` -> a parameter's name and its values as texts."""

    name = "setting"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, tuple[str, ...]]:
        if isinstance(value, tuple):  # from a TOML file
            return value
        name, _, texts = str(value).partition("=")
        values = []
        for text in texts.split(","):
            if text.strip():
                values.append(text.strip())
        if not (name.strip() and values):
            self.fail(f"'{value}' is not NAME=VALUE or NAME=VALUE,VALUE", param, ctx)
        return name.strip(), tuple(values)


def _merge_settings(
    ctx: click.Context, param: click.Parameter, settings: tuple[tuple[str, tuple[str, ...]], ...]
) -> dict[str, tuple[str, ...]]:
    """The values by parameter. One that is set on the command line hides the one of a TOML file."""
    merged: dict[str, tuple[str, ...]] = {}
    for name, values in settings:
        # The last one would win in silence, where a sweep over both was meant.
        if name in merged:
            raise UserError(
                f"--set {name}: given more than once; give its values as one list, NAME=VALUE,VALUE"
            )
        merged[name] = values
    if ctx.get_parameter_source(str(param.name)) is ParameterSource.COMMANDLINE:
        keep_flag_settings(ctx, tuple(merged))
    # click would drop all of the file's settings as soon as the command line has one.
    from_file = (ctx.default_map or {}).get(str(param.name), ())
    return {**dict(from_file), **merged}


def parameter_settings(command: Command) -> Command:
    """Adds --set, as `settings`: parameter -> texts."""
    return option(
        "--set",
        "settings",
        type=Setting(),
        multiple=True,
        callback=_merge_settings,
        metavar="NAME=V,V",
        help="Any parameter of a method and its values: stride=0.5,1 or layer=1..9:2 "
        "('bench list methods --json' has parameters, defaults and descriptions). Repeatable.",
    )(command)


def positive(text: str) -> int:
    """Reads a whole number from 1. Raises ValueError."""
    if int(text) < 1:
        raise ValueError(text)
    return int(text)


# The name of a function that converts stands in the message for a wrong value: see CommaList.
positive.__name__ = "number above 0"


def gigabytes(text: str) -> int:
    """Reads a number of GB from 0 to a thousand million, as bytes. Raises ValueError."""
    value = float(text)
    # NaN is in no interval, and so refused, too.
    if not 0 <= value <= 10**9:
        raise ValueError(text)
    return round(value * 10**9)


gigabytes.__name__ = "number of GB"


def seconds(text: str) -> float:
    """Reads a time limit in seconds. Raises ValueError."""
    value = float(text)
    if not 0 < value <= MOST_SECONDS:
        raise ValueError(text)
    return value


seconds.__name__ = "number of seconds above 0"


def number_from(least: float) -> Callable[[str], float]:
    """Makes a reader of numbers from a least one on, which raises ValueError for all else."""

    def read(text: str) -> float:
        value = float(text)
        # NaN is in no interval, and so refused, too.
        if not least <= value < float("inf"):
            raise ValueError(text)
        return value

    read.__name__ = f"number from {least:g}"
    return read


def number_range(text: str) -> float:
    """Reads an alpha, from 0.000001 to 1,000,000. Raises ValueError."""
    return read_alpha(_number(text))


def positive_number(text: str) -> float:
    """Reads a finite number above 0, such as a rate. Raises ValueError."""
    number = _number(text)
    if not 0 < number < math.inf:
        raise ValueError(f"'{text}' is not a number above 0")
    return number


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"'{text}' is not a number") from None


number_range.__name__ = positive_number.__name__ = "positive number"


def data_root(command: Command) -> Command:
    """Adds --data-root."""
    return option(
        "--data-root",
        type=click.Path(path_type=Path),
        envvar="BENCH_DATA_ROOT",
        default=Path("data"),
        show_default=True,
        help="Folder that holds SPair-71k/, pf-pascal/, pf-willow/. [env: BENCH_DATA_ROOT]",
    )(command)


def results_folders(command: Command) -> Command:
    """Adds the argument `folders`: one results folder or several; `results` where none is named."""
    return click.argument(
        "folders",
        nargs=-1,
        metavar="[FOLDER]...",
        type=click.Path(path_type=Path),
        callback=lambda ctx, param, folders: folders or (Path("results"),),
    )(command)


def learned_prompt(command: Command) -> Command:
    """Adds --prompt-file and --trained-on, for commands that use one learned prompt."""
    trained_on = option(
        "--trained-on",
        metavar="DATASET",
        help="Use the learned prompt that was trained on this dataset, bundled or fetched.",
    )
    prompt_file = option(
        "--prompt-file", type=click.Path(path_type=Path), help="A learned prompt of your own."
    )
    # The option that is added last comes first in the help.
    return prompt_file(trained_on(command))


def dataset_folders(command: Command) -> Command:
    """Adds --datasets for commands that read the annotations of finished runs."""
    return option(
        "--datasets",
        type=DatasetList(),
        metavar="NAME=PATH",
        help="Folders of datasets that are not below --data-root.",
    )(command)


def weights_root(command: Command) -> Command:
    """Adds --weights-root."""
    return option(
        "--weights-root",
        type=click.Path(path_type=Path),
        help="Folder of fetched weights; correspondence-bench/weights/ in the user's cache otherwise. "
        "[env: BENCH_WEIGHTS]",
    )(command)


def weights(command: Command) -> Command:
    """Adds --weights and --weights-root."""
    with_weights = option(
        "--weights",
        multiple=True,
        metavar="tiny|paper|NAME=PATH",
        help="Bundled small weights (the default), those that the papers used, or a file or folder of your "
        "own for a source ('bench weights list' shows their names). Repeatable.",
    )
    return with_weights(weights_root(command))
