"""Whatever a name stands for, examined: the one path of `bench doctor NAME` and of `harness.testing`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.datasets.splits import dataset_folder
from harness.doctor.checks import examine_matcher, examine_method
from harness.doctor.dataset import examine_dataset
from harness.doctor.findings import Finding
from harness.doctor.localizer import examine_localizer
from harness.doctor.prompt import examine_prompt
from harness.doctor.protocol import examine_protocol
from harness.environment import device_name
from harness.errors import UserError, unknown_name
from harness.messages import listed
from harness.plugins.host import Host
from harness.plugins.registry import Registry
from harness.running.parameters import parameters_of
from harness.running.resources import Resources, RunOptions
from harness.specs import (
    NO_MATCHER,
    NO_PROMPT,
    ImagePair,
    MakeContext,
    MatcherSpec,
    MethodSpec,
    PromptSpec,
    Scalar,
)
from harness.sweep import DatasetChoice
from harness.weights.choice import WeightChoice
from harness.weights.learned import find_learned_file, prompt_weight_names


@dataclass(frozen=True)
class Circumstances:
    """What is examined with.

    Attributes:
        device: as the user named it, such as `auto`.
        localizer: the one to try a method with; None for the method's own.
        data_root: folder that holds the datasets' own folders.
    """

    device: str = "auto"
    weights: WeightChoice = field(default_factory=WeightChoice)
    localizer: str | None = None
    data_root: Path = Path("data")


def examine(host: Host, name: str, circumstances: Circumstances) -> tuple[str, Iterator[Finding]]:
    """Examines a method or extractor, else the matcher, localizer, prompt, dataset or protocol of that name.

    Returns:
        The kind and the name, for the head of a table, and the findings, as each check is made.

    Raises:
        UserError: nothing has that name, or weights that it needs are missing.
    """
    if name in host.methods or name in host.extractors:
        return f"method {name}", examine_kind(host, "method", name, circumstances)
    others: Mapping[str, Registry[Any]] = {
        "matcher": host.matchers,
        "localizer": host.localizers,
        "prompt": host.prompts,
        "dataset": host.datasets,
        "protocol": host.protocols,
    }
    for kind, registry in others.items():
        # A dataset may be named with its folder, as `birds=my/birds`.
        if (name if kind != "dataset" else DatasetChoice.parse(name).name) in registry:
            return f"{kind} {name}", examine_kind(host, kind, name, circumstances)
    known = {*host.methods, *host.extractors}.union(*others.values())
    error = unknown_name("method, matcher, localizer, prompt, dataset or protocol", name, known)
    # One that failed, or is not installed, might have brought it.
    raise UserError(f"{error}{host.methods.missing_plugins(name)}")


def examine_kind(host: Host, kind: str, name: str, circumstances: Circumstances) -> Iterator[Finding]:
    """Examines what has a name among those of one kind, such as `method`. Raises like `examine`."""
    if kind == "dataset":
        choice = DatasetChoice.parse(name)
        spec = host.datasets[choice.name]
        return examine_dataset(host, spec.name, dataset_folder(spec, choice, circumstances.data_root))
    if kind == "localizer":
        return examine_localizer(host, name, _pairs(host))
    if kind == "matcher":
        recipe = recipe_with_matcher(host, host.matchers[name])
        pairs = _pairs(host)
        return examine_matcher(host, recipe, pairs, _method_context(host, circumstances, recipe, pairs))
    if kind == "protocol":
        return examine_protocol(host, name)
    if kind == "prompt":
        prompt = host.prompts[name]
        defaults: dict[str, Scalar] = {}
        for extractor in host.extractors.values():
            if prompt.kind in extractor.prompt_kinds:
                defaults = dict(extractor.params)
                break
        pairs = _pairs(host)
        context = _context(host, circumstances, (), prompt, {**defaults, **prompt.params}, pairs)
        return examine_prompt(host, name, pairs, context)
    recipe = host.methods[name]
    pairs = _pairs(host)
    context = _method_context(host, circumstances, recipe, pairs)
    return examine_method(host, recipe.name, pairs, context, circumstances.localizer)


def recipe_with_matcher(host: Host, matcher: MatcherSpec) -> MethodSpec:
    """A method that has a matcher: one that a plugin brings, or one made of an extractor whose maps it reads.

    Raises:
        UserError: no plugin here brings such an extractor.
    """
    for method in host.methods.values():
        if method.matcher == matcher.name:
            return method
    localizer = "argmax" if matcher.gives == "volume" else "flow"
    for extractor in sorted(matcher.extractors):
        if extractor in host.extractors:
            return MethodSpec(
                name=matcher.name, extractor=extractor, matcher=matcher.name, localizer=localizer
            )
    wanted = listed(sorted(matcher.extractors)) or "no extractor"
    raise UserError(f"matcher '{matcher.name}': reads maps of {wanted}, which no plugin here brings")


def _method_context(
    host: Host, circumstances: Circumstances, recipe: MethodSpec, pairs: Sequence[ImagePair]
) -> MakeContext:
    """A context for extractor, matcher and prompt. Raises `UserError` where weights are missing."""
    params = {**parameters_of(host, recipe).params, **recipe.params}
    prompt = None if recipe.prompt == NO_PROMPT else host.prompts[recipe.prompt]
    names = list(host.extractors[recipe.extractor].weights)
    if recipe.matcher != NO_MATCHER:
        names += host.matchers[recipe.matcher].weights
    return _context(host, circumstances, dict.fromkeys(names), prompt, params, pairs)


def _pairs(host: Host) -> list[ImagePair]:
    """Two pairs of pictures that come with the package, so that nothing need be downloaded."""
    dataset = host.datasets["shapes"].open(Path(), "test")
    # Far apart in the list: neighbours would share their category.
    return [dataset[0], dataset[len(dataset) // 2]]


def _context(
    host: Host,
    circumstances: Circumstances,
    source_names: Iterable[str],
    prompt: PromptSpec | None,
    params: dict[str, Scalar],
    pairs: Sequence[ImagePair],
) -> MakeContext:
    """A context with the weights of an extractor and of a prompt. Raises `UserError` where one is missing."""
    names = [*source_names, *(prompt_weight_names(prompt, None) if prompt else ())]
    device = device_name(circumstances.device)
    options = RunOptions(
        data_root=Path(), out=Path(), criteria=(), device=device, weights=circumstances.weights
    )
    sources = Resources(host, options).weights(names)
    learned = find_learned_file(prompt, sources) if prompt else None
    return MakeContext(
        device=device,
        params=params,
        weights={name: source.path for name, source in sources.items()},
        categories=tuple(sorted({pair.category for pair in pairs})),
        prompt_scope=prompt.scope if prompt else "image",
        prompt_file=learned.path if learned else None,
    )
