"""One name for one idea in all commands; the names of before are read, and shown nowhere.

An option that takes a list is named in the plural and one that takes a single value in the singular. Whoever
types the other form is understood, so nobody has to remember which command takes a list.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from harness.cli.completion import Completion, names_of, parameter_names

Command = TypeVar("Command", bound=Callable[..., Any])

_PLURALS = {
    "--method": "--methods",
    "--dataset": "--datasets",
    "--split": "--splits",
    "--prompt": "--prompts",
    "--localizer": "--localizers",
    "--protocol": "--protocols",
    "--alpha": "--alphas",
    "--timestep": "--timesteps",
    "--ensemble": "--ensembles",
    "--seed": "--seeds",
    "--category": "--categories",
}

_OTHER_FORMS = {**_PLURALS, **{plural: singular for singular, plural in _PLURALS.items()}}

_COMPLETIONS: dict[str, Completion] = {
    "--method": names_of("methods"),
    "--methods": names_of("methods"),
    "--dataset": names_of("datasets"),
    "--datasets": names_of("datasets"),
    "--prompt": names_of("prompts"),
    "--prompts": names_of("prompts"),
    "--localizer": names_of("localizers"),
    "--localizers": names_of("localizers"),
    "--protocol": names_of("protocols"),
    "--protocols": names_of("protocols"),
    "--trained-on": names_of("datasets"),
    "--weights": names_of("weight_sources", "tiny", "paper"),
    "--set": parameter_names,
}
"""Options whose values the shell completes, in every command that has them."""


class NamedOption(click.Option):
    """An option with further names, which help, messages and completion leave out.

    Args:
        old: names of before.

    Attributes:
        silent: all names that are not shown: those of before, and the other number of `--method`, `--methods`
            and the like.
    """

    def __init__(self, names: Sequence[str], *, old: Sequence[str] = (), **attributes: Any) -> None:
        for name in names:
            if name in _COMPLETIONS:
                attributes.setdefault("shell_complete", _COMPLETIONS[name])
        others = [_OTHER_FORMS[name] for name in names if name in _OTHER_FORMS]
        self.silent = tuple(dict.fromkeys([*old, *others]))
        super().__init__(list(names), **attributes)

    def add_to_parser(self, parser: Any, ctx: click.Context) -> None:
        """Makes all names known to the parser; the others of `opts` are for help and messages."""
        shown, self.opts = self.opts, [*self.opts, *self.silent]
        try:
            super().add_to_parser(parser, ctx)
        finally:
            self.opts = shown


def option(*names: str, **attributes: Any) -> Callable[[Command], Command]:
    """`click.option` for a `NamedOption`."""
    return click.option(*names, cls=NamedOption, **attributes)
