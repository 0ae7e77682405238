"""Specs of plugins whose functions, and the objects that these make, are behind the guard."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from harness.errors import BenchError
from harness.isolation.copies import copied_mapping
from harness.isolation.guard import running_code_of
from harness.isolation.guarded import (
    Guarded,
    GuardedDataset,
    GuardedExtractor,
    GuardedFunction,
    GuardedMatcher,
)
from harness.isolation.owner import Owner
from harness.isolation.reads import Reads, real_paths
from harness.specs import (
    CommandSpec,
    DatasetSpec,
    ExtractorSpec,
    LearnedSpec,
    LocalizerSpec,
    MakeContext,
    MatcherSpec,
    PromptSpec,
    TrainerSpec,
)

if TYPE_CHECKING:
    import click

Spec = TypeVar("Spec")


def guarded_spec(spec: Spec, owner: Owner) -> Spec:
    """Returns a plugin's spec with its functions behind the guard, and with dictionaries of its own.

    Args:
        owner: the plugin.
    """
    changes: dict[str, Any] = {}
    for field in fields(spec):  # type: ignore[arg-type]
        value = getattr(spec, field.name)
        if type(value) is dict:
            # The plugin may go on changing its own.
            changes[field.name] = copied_mapping(value)
        elif callable(value):
            changes[field.name] = _guarded_field(spec, field.name, value, owner)
        elif isinstance(value, LearnedSpec):
            changes[field.name] = guarded_spec(value, owner)
    return replace(spec, **changes)  # type: ignore[type-var]


_MADE: Mapping[tuple[type, str], type[Guarded]] = {
    (ExtractorSpec, "make"): GuardedExtractor,
    (PromptSpec, "make"): Guarded,
    (LocalizerSpec, "make"): Guarded,
    (MatcherSpec, "make"): GuardedMatcher,
    (DatasetSpec, "open"): GuardedDataset,
}
"""Functions that make objects -> what their objects become."""


def _guarded_field(spec: object, name: str, function: Callable[..., Any], owner: Owner) -> Callable[..., Any]:
    if isinstance(spec, CommandSpec | TrainerSpec):
        return _CommandMaker(owner, function)
    for (kind, field), guarded in _MADE.items():
        if isinstance(spec, kind) and name == field:
            return SpecMaker(owner, function, guarded, spec)
    # Sizes, places of weights and files of prompts are plain values.
    return GuardedFunction(owner, function)


class SpecMaker(GuardedFunction):
    """A function that makes an object, which gets a guard and settings of its own.

    Attributes:
        code: real paths of the files that the identity of the object's numbers covers; None until somebody
            asks for the version of the code behind the spec.
    """

    def __init__(self, owner: Owner, function: Callable[..., Any], kind: type[Guarded], spec: object) -> None:
        super().__init__(owner, function)
        self.code: frozenset[str] | None = None
        self._kind = kind
        self._spec = spec

    def __call__(self, *arguments: Any, **options: Any) -> Guarded:
        """Makes the object."""
        child = self.owner.child()
        arguments = tuple(_own_context(argument, self.owner) for argument in arguments)
        if not isinstance(self._spec, DatasetSpec):
            # A dataset's files are known by their content, whoever reads them.
            child.reads = Reads()
        with running_code_of(child):
            if child.reads and self.code is not None:
                child.reads.covered = self.code | real_paths(self._named_files(arguments, options))
            made = self.function(*arguments, **options)
        return self._kind(child, made)

    def _named_files(self, arguments: Iterable[Any], options: Mapping[str, Any]) -> Iterator[str | Path]:
        """Files that are part of the identity besides code: named by the spec, or handed to what is made."""
        spec: Any = self._spec
        values = options
        for context in arguments:
            if isinstance(context, MakeContext):
                values = context.params if isinstance(spec, ExtractorSpec | MatcherSpec) else spec.params
                yield from context.weights.values()
                if context.prompt_file:
                    yield context.prompt_file
        files = spec.files(dict(values)) if callable(spec.files) else spec.files
        yield from (files,) if isinstance(files, str | Path) else files


def _own_context(argument: Any, owner: Owner) -> Any:
    """A context with dictionaries, networks and stored arrays that no other plugin sees."""
    if not isinstance(argument, MakeContext):
        return argument
    cache = argument.cache
    return replace(
        argument,
        params=dict(argument.params),
        weights=dict(argument.weights),
        shared=argument.shared.part(owner.name),
        cache=replace(cache, plugin=owner.name) if cache else None,
    )


class _CommandMaker(GuardedFunction):
    """A function that builds a command."""

    def __call__(self, *arguments: Any, **options: Any) -> click.Command:
        """Builds the command, whose work is behind the guard, too."""
        import click

        with running_code_of(self.owner):
            made: Any = self.function(*arguments, **options)
        if not isinstance(made, click.Command):
            raise BenchError(f"its make returned a {type(made).__name__}, expected a click.Command")
        command: click.Command = made
        invoke = command.invoke

        def invoke_guarded(context: click.Context) -> Any:
            # Its output is a result, like that of our own commands.
            with running_code_of(self.owner, redirects=False):
                return invoke(context)

        command.invoke = invoke_guarded  # type: ignore[method-assign, assignment]
        return command
