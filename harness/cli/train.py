"""`bench train METHOD`: trainings that plugins bring, each with options of its own, as one command."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import click
from click.shell_completion import CompletionItem

from harness.cli.completion import complete_list
from harness.cli.examples import examples
from harness.errors import BenchError, UserError
from harness.messages import listed, one_line
from harness.plugins.host import Host
from harness.specs import TrainerSpec

_EPILOG = examples(
    "bench train sd4match-class --steps 100 --batch-size 4",
    "bench train sd4match-cpm --dataset spair-71k --data-root data --weights paper",
)


def train(host: Host) -> click.Command:
    """The command `train`, with the options of all trainings that plugins bring."""
    return _Train(host)


class _Train(click.Command):
    """Finds the method among the words, wherever it stands, and hands all others to its training.

    The options of all trainings are its own, so that help and completion know them before a method is named.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        method = click.Argument(["method"], shell_complete=self._complete)
        super().__init__(
            "train",
            params=[method, *_all_options(host)],
            help=_help(host),
            short_help="Train what a method uses on a dataset: a prompt, or a matcher.",
            epilog=_EPILOG,
        )

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Returns the context of the training of the method that is named, or one of this command's own."""
        place = self._place_of_method(args, parent)
        if place is None:
            return super().make_context(info_name, args, parent, **extra)
        try:
            name, spec = _trainer_of(self._host, args[place])
        except UserError:
            if extra.get("resilient_parsing"):
                return super().make_context(info_name, args, parent, **extra)
            raise
        words = [*args[:place], *args[place + 1 :]]
        return _command(spec, name).make_context(f"{info_name} {name}", words, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Calls the training that a context is of."""
        return super().invoke(ctx) if ctx.command is self else ctx.command.invoke(ctx)

    def _place_of_method(self, args: Sequence[str], parent: click.Context | None) -> int | None:
        """Number of the first word that is neither an option nor an option's value; None for none."""
        for place, word in enumerate(args):
            if word.startswith("-"):
                continue
            context = click.Context(self, info_name="train", parent=parent)
            try:
                self.make_parser(context).parse_args(list(args[:place]))
            except click.NoSuchOption:
                raise
            except click.UsageError:
                # The option before it lacks its value, and this is it.
                continue
            return place
        return None

    def _complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return complete_list({name: spec.description for name, spec in _trained(self._host)}, incomplete)


def _help(host: Host) -> str:
    """The text before the options: what each training is for."""
    kinds = []
    for name, spec in host.trainers.items():
        kinds.append(f"{name}: {spec.description} For {listed(list(spec.methods))}.")
    return "\n\n".join(
        [
            "Train what a method uses on a dataset.",
            "A training that was interrupted goes on where it stopped when the same command is given again.",
            *kinds,
            "'bench train METHOD --help' shows the options of one of them, with its defaults. Here, options "
            "that not all have are marked with the name of those that have them.",
        ]
    )


def _trained(host: Host) -> Iterator[tuple[str, TrainerSpec]]:
    """Every method that something is trained for, with its training."""
    for spec in host.trainers.values():
        for name in spec.methods:
            yield name, spec


def _trainer_of(host: Host, asked: str) -> tuple[str, TrainerSpec]:
    """A method's name, and its training. Raises `UserError` where there is none."""
    trained = dict(_trained(host))
    method = host.methods[asked].name
    if method not in trained:
        raise UserError(f"method '{method}' has nothing to train; those that have are {', '.join(trained)}")
    return method, trained[method]


def _command(spec: TrainerSpec, method: str) -> click.Command:
    """Builds a training's command. Raises `BenchError` where its plugin cannot."""
    try:
        return spec.make(method)
    except BenchError:
        raise
    except Exception as error:
        raise BenchError(f"trainer '{spec.name}' cannot be made: {one_line(error)}") from error


def _all_options(host: Host) -> list[click.Option]:
    """The options of all trainings, each once; those that not all have say whose they are."""
    owners: dict[tuple[str, ...], dict[str, click.Option]] = {}
    for name, spec in host.trainers.items():
        for option in _options_of(spec):
            owners.setdefault(tuple(option.opts), {}).setdefault(name, option)
    trainers = {name for owned in owners.values() for name in owned}
    taken: set[str] = set()
    options: list[click.Option] = []
    for names, owned in owners.items():
        if taken.isdisjoint(names):
            taken.update(names)
            options.append(_merged(owned, is_everywhere=set(owned) == trainers))
    return options


def _options_of(spec: TrainerSpec) -> Iterator[click.Option]:
    """The options of a training's methods; none where its plugin cannot make the command."""
    for method in spec.methods:
        # A broken one is told where it is called; the help lists what there is besides.
        with suppress(BenchError):
            for option in _command(spec, method).params:
                if isinstance(option, click.Option):
                    yield option


def _merged(owned: Mapping[str, click.Option], *, is_everywhere: bool) -> click.Option:
    """One option for those of several trainings; a default that they do not share is not shown."""
    option = copy.copy(next(iter(owned.values())))
    option.required = False
    if len({repr(each.default) for each in owned.values()}) > 1:
        option.default, option.show_default = None, False
    if not is_everywhere:
        option.help = f"{option.help} [{', '.join(owned)}]"
    return option
