"""One name for one idea in all commands, and the names of before."""

from __future__ import annotations

from collections import Counter, defaultdict

import click
import pytest
from support.command_tree import commands

from harness.cli.option_names import NamedOption

OPTIONS = [
    (path, context, option)
    for path, context in commands()
    for option in context.command.params
    if isinstance(option, click.Option) and path != "bench"
]

SILENT = [
    (path, context, option, name)
    for path, context, option in OPTIONS
    if isinstance(option, NamedOption)
    for name in option.silent
]

EXAMPLES = {"integer range": "3", "integer": "3", "numbers": "3", "number above 0": "3", "choice": ""}
"""Kind of value -> one that fits; a word for all others."""


def value_of(option: click.Option) -> str:
    """A value that an option takes."""
    if isinstance(option.type, click.Choice):
        return option.type.choices[0]
    for words in ("3", "shapes", "0.1"):
        try:
            option.type.convert(words, option, None)
        except click.UsageError:
            continue
        return words
    raise AssertionError(option.opts)


def parse(context: click.Context, option: click.Option, name: str) -> object:
    """Value of an option that is given by one of its names, and nothing else."""
    command = click.Command("one", params=[option])
    inner = click.Context(command, parent=context.parent)
    command.parse_args(inner, [name, value_of(option)])
    return inner.params[option.name]


@pytest.mark.parametrize(
    ("path", "context", "option", "name"), SILENT, ids=[f"{path} {name}" for path, _, _, name in SILENT]
)
def test_a_name_of_before_means_the_same(path, context, option, name):
    shown = [given for given in option.opts if given.startswith("--")]
    assert parse(context, option, name) == parse(context, option, shown[0]) is not None
    assert name not in shown
    record = option.get_help_record(context)
    assert record is None or f"{name} " not in f"{record[0]} ".replace(",", " ")


@pytest.mark.parametrize(
    "words",
    [
        "bench run --timestep",
        "bench run --ensemble",
        "bench run --seed",
        "bench run --cache",
        "bench run --method",
        "bench compare --localizer",
        "bench report --output",
        "bench data export --split",
        "bench train --batch",
        "bench train --cache",
        "bench train --datasets",
        "bench ablation --batch",
        "bench ablation --cache",
        "bench doctor --out",
        "bench doctor --cache",
    ],
)
def test_names_that_were_shown_once_are_still_read(words):
    assert words in {f"{path} {name}" for path, _, _, name in SILENT}


def test_no_command_has_two_options_of_one_name():
    names = defaultdict(Counter)
    for path, _, option in OPTIONS:
        names[path].update([*option.opts, *option.secondary_opts])
    assert {path: counts.most_common(1)[0][1] for path, counts in names.items()} == dict.fromkeys(names, 1)


SHARED = {
    # One idea -> the only names that it may be shown under.
    "out": {("-o", "--out"), ("--results",)},
    "cache": {("--cache-dir",)},
    "device": {("--device",)},
    "precision": {("--precision",)},
    "batch": {("--batch-size",)},
    "batch_size": {("--batch-size",)},
    "weights": {("--weights",)},
    "weights_root": {("--weights-root",)},
    "data_root": {("--data-root",)},
    "datasets": {("--datasets",)},
    "localizers": {("--localizers",)},
    "as_json": {("--json",)},
}


@pytest.mark.parametrize("name", SHARED)
def test_an_idea_has_one_name(name):
    shown = {tuple(option.opts) for _, _, option in OPTIONS if option.name == name}
    assert shown
    assert shown <= SHARED[name]


def test_the_device_is_chosen_everywhere_by_default():
    defaults = {option.default for _, _, option in OPTIONS if option.name == "device"}
    assert defaults == {"auto"}


def test_lists_are_named_in_the_plural_and_single_values_in_the_singular():
    from harness.cli.option_names import _PLURALS
    from harness.cli.options import CommaList

    for path, _, option in OPTIONS:
        for name in option.opts:
            is_list = isinstance(option.type, CommaList)
            if name in _PLURALS:
                assert not is_list, f"{path} {name}"
            if name in _PLURALS.values():
                assert is_list, f"{path} {name}"


def test_messages_name_the_option_as_it_is_shown(bench):
    done = bench("run", "--methods", "position", "--seed", "abc")
    assert done.status == 2
    assert "'--seeds': 'abc' is not a list of ints" in done.err
