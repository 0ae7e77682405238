"""The shell's completion of names: methods, datasets, weights and the like, also within a list."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import click
from click.shell_completion import CompletionItem

from harness.plugins.host import Host
from harness.specs import ExtractorSpec, MatcherSpec

Kind = Literal["methods", "datasets", "prompts", "localizers", "protocols", "weight_sources"]

Completion = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def names_of(kind: Kind, *further: str) -> Completion:
    """Completes names of what plugins brought, and further words.

    For `shell_complete=` of an option or an argument. After a comma the next name of the list is completed;
    names that the list has already are left out.
    """

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        host = ctx.find_object(Host)
        if host is None:
            return []
        return complete_list(descriptions(host, kind, further), incomplete)

    return complete


def parameter_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completes the name of a parameter of any extractor or matcher, for --set: `layer=`."""
    host = ctx.find_object(Host)
    names: dict[str, str] = {}
    specs: list[ExtractorSpec | MatcherSpec] = []
    if host:
        specs += [*host.extractors.values(), *host.matchers.values()]
    for spec in specs:
        for name in spec.params:
            names.setdefault(f"{name}=", spec.param_help.get(name, ""))
    return complete_list(names, incomplete)


def descriptions(host: Host, kind: Kind, further: Sequence[str] = ()) -> dict[str, str]:
    """Names that a user may type for a kind, with a description of each."""
    names = dict.fromkeys(further, "")
    for name, spec in getattr(host, kind).items():
        names[name] = getattr(spec, "description", "")
    return names


def complete_list(names: Mapping[str, str], incomplete: str) -> list[CompletionItem]:
    """Words that begin with what is typed: `dift,ho` -> `dift,hog`."""
    before, comma, begun = incomplete.rpartition(",")
    given = before.split(",")
    items = []
    for name, description in names.items():
        if name.startswith(begun) and name not in given:
            # zsh and fish show the description beside the word, in one line.
            items.append(CompletionItem(f"{before}{comma}{name}", help=" ".join(description.split()) or None))
    return items
