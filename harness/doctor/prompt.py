"""The contract of a prompt type, checked on the bundled pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.doctor.findings import (
    CHEAP,
    Failed,
    Finding,
    Skipped,
    Warned,
    are_equal,
    check_import,
    make_checks,
)
from harness.errors import NotApplicable
from harness.features.requests import PromptUse
from harness.messages import listed
from harness.plugins.host import Host
from harness.plugins.registry import Plugin
from harness.specs import ImagePair, ImageRequest, MakeContext, PromptSpec


@dataclass
class _Subject:
    """The prompt that is examined.

    Attributes:
        use: the prompt, once it is made.
    """

    host: Host
    spec: PromptSpec
    plugin: Plugin
    pairs: Sequence[ImagePair]
    context: MakeContext
    use: PromptUse | None = None

    def values(self) -> list[tuple[Any, ...]]:
        """Values for source and target of each pair."""
        if self.use is None:
            raise Skipped("no prompt")
        values = []
        for pair in self.pairs:
            requests = []
            for image in (pair.source, pair.target):
                requests.append(ImageRequest(image.open(), image.identity(), pair.category))
            values.append(self.use.values(pair.category, requests))
        return values


def examine_prompt(
    host: Host, prompt: str, pairs: Sequence[ImagePair], context: MakeContext
) -> Iterator[Finding]:
    """Makes every check of a prompt in turn.

    Args:
        pairs: pairs of pictures of different categories.
        context: given to its `make`.

    Raises:
        UserError: there is no such prompt.
    """
    spec = host.prompts[prompt]
    subject = _Subject(host, spec, host.prompts.origin(spec.name), pairs, context)
    yield from make_checks(CHECKS, subject)


def _check_import(subject: _Subject) -> str:
    return check_import(subject.host, subject.plugin)


def _check_make(subject: _Subject) -> str:
    try:
        subject.use = PromptUse(subject.spec.make(subject.context), subject.spec.scope)
    except NotApplicable as error:
        raise Skipped(f"does not apply here: {error}") from error
    return f"scope '{subject.spec.scope}'"


def _check_values(subject: _Subject) -> str:
    values = subject.values()
    for pair, pair_values in zip(subject.pairs, values, strict=True):
        for value in pair_values:
            if value is None:
                raise Failed(f"returned None for {pair.category}; return a value, or raise NotApplicable")
            if subject.spec.kind == "text" and not isinstance(value, str):
                raise Failed(f"kind 'text' is a str, and the value for {pair.category} is {_kind(value)}")
    first = values[0][0]
    return repr(first) if isinstance(first, str) else _kind(first)


def _check_determinism(subject: _Subject) -> str:
    if not are_equal(subject.values(), subject.values()):
        raise Failed("two calls gave different values; draw nothing at random but from what you are given")
    return "equal"


def _check_takers(subject: _Subject) -> str:
    kind = subject.spec.kind
    names = [spec.name for spec in subject.host.extractors.values() if kind in spec.prompt_kinds]
    if not names:
        raise Warned(f"no extractor that is installed takes prompts of kind '{kind}'")
    return f"'{kind}': {listed(names)}"


def _kind(value: object) -> str:
    shape = getattr(value, "shape", None)
    return type(value).__name__ + (f" of shape {tuple(shape)}" if shape is not None else "")


CHECKS: Mapping[str, Callable[[_Subject], str]] = {
    CHEAP: _check_import,
    "the prompt can be made": _check_make,
    "it has a value of its kind for all that its scope names": _check_values,
    "the same call gives the same value": _check_determinism,
    "an extractor takes prompts of its kind": _check_takers,
}
"""Checks in their order."""
