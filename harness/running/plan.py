"""A sweep becomes a list of cells. Pure: no file is read and nothing is imported."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from harness.datasets.chosen_categories import OPENING, split_of_categories
from harness.errors import UserError
from harness.messages import listed
from harness.plugins.host import Host
from harness.running.parameters import Parameters, parameters_of, read_values, require_parameters
from harness.specs import NO_MATCHER, NO_PROMPT, ExtractorSpec, MethodSpec, Scalar
from harness.sweep import Cell, DatasetChoice, Params, Sweep, format_value
from harness.weights.models import models_of, short_name

Item = TypeVar("Item")


def plan(sweep: Sweep, host: Host) -> list[Cell]:
    """The cells of a sweep, none twice, in the order: datasets, methods, prompts, parameters, seeds.

    Raises:
        UserError: a name is unknown, a parameter belongs to no method or has a value of the wrong kind, or
            nothing in the sweep is applicable.
    """
    methods = [host.methods[name] for name in _distinct(sweep.methods)]
    for name in sweep.localizers or ():
        # Looked up for the error of an unknown name, before anything is planned.
        host.localizers[name]
    require_parameters(sweep.overrides, {method.name: parameters_of(host, method) for method in methods})
    _check_learned(sweep, host, methods)
    cells: list[Cell] = []
    for choice in _distinct(sweep.datasets):
        split = _split(sweep, host, choice)
        for method in methods:
            cells += _cells(sweep, host, choice, split, method)
    if cells and all(cell.not_applicable for cell in cells):
        raise UserError(f"nothing to run: {cells[0].not_applicable}")
    return cells


def _cells(sweep: Sweep, host: Host, choice: DatasetChoice, split: str, method: MethodSpec) -> Iterator[Cell]:
    """One method's cells on one dataset."""
    extractor, parameters = host.extractors[method.extractor], parameters_of(host, method)
    for prompt in _prompts(sweep, host, method, extractor):
        is_learned = _is_learned(host, prompt)
        files = _files(sweep, host, method.name, prompt)
        changes = _changes(sweep, method, parameters)
        variants = itertools.product(
            changes, files, _distinct(sweep.seeds), _fitting(sweep, host, method, choice)
        )
        for changed, file, seed, (localizers, misfit) in variants:
            # The user's values go before the method's, and those before the specs' defaults.
            own = {**parameters.params, **method.params}
            params = {**own, **dict(changed)}
            models = models_of(extractor, params)
            short = {name: short_name(text, sweep.overrides.get(name, ())) for name, text in models}
            yield Cell(
                method=method.name,
                extractor=extractor.name,
                prompt=prompt,
                dataset=choice,
                split=split,
                seed=seed,
                params=tuple(sorted({**params, **short}.items())),
                changed=tuple((name, short.get(name, value)) for name, value in _differing(changed, own)),
                models=models,
                prompt_file=file,
                trained_on=sweep.trained_on if is_learned and not file else None,
                train_timestep=sweep.train_timestep and is_learned,
                matcher=method.matcher,
                localizers=localizers,
                not_applicable=_misfit(host, extractor, prompt) or misfit,
                has_misfits=bool(misfit),
            )


def _differing(changed: Params, own: Mapping[str, Scalar]) -> Params:
    """The user's values without those that the method has anyway: `--timestep 261` is DIFT as it is."""
    # As texts, since True equals 1 in Python.
    return tuple((name, value) for name, value in changed if format_value(value) != format_value(own[name]))


def _distinct(items: Iterable[Item]) -> list[Item]:
    return list(dict.fromkeys(items))


def _split(sweep: Sweep, host: Host, choice: DatasetChoice) -> str:
    """The split of a dataset, with the categories that were chosen of it. Their names are checked later."""
    spec = host.datasets[choice.name]
    split = sweep.split or spec.splits[0]
    if split not in spec.splits:
        advice = "; categories are chosen by --categories" if OPENING in split else ""
        raise UserError(
            f"dataset {spec.name} has no split '{split}'; it has {', '.join(spec.splits)}{advice}"
        )
    return split_of_categories(split, sweep.categories or ())


def _prompts(sweep: Sweep, host: Host, method: MethodSpec, extractor: ExtractorSpec) -> Sequence[str]:
    # Tables write `none` for methods without prompts, and so it is typed.
    prompts = [name for name in sweep.prompts or () if name != NO_PROMPT]
    for prompt in prompts:
        # Looked up for the error of an unknown name.
        host.prompts[prompt]
    # A method without prompts has one cell, however many prompts the sweep names.
    if not extractor.prompt_kinds:
        return (NO_PROMPT,)
    if sweep.prompts and not prompts:
        raise UserError(
            f"--prompts {NO_PROMPT}: {method.name} takes a prompt; its own is {method.prompt}, and "
            "'empty' is the empty text"
        )
    return _distinct(prompts or (method.prompt,))


def _misfit(host: Host, extractor: ExtractorSpec, prompt: str) -> str:
    """The reason why a prompt does not fit an extractor; empty where it does."""
    if prompt == NO_PROMPT:
        return ""
    kind = host.prompts[prompt].kind
    if kind in extractor.prompt_kinds:
        return ""
    kinds = ", ".join(sorted(extractor.prompt_kinds))
    return f"prompt '{prompt}' is of kind '{kind}', and {extractor.name} takes {kinds}"


def _fitting(
    sweep: Sweep, host: Host, method: MethodSpec, choice: DatasetChoice
) -> list[tuple[tuple[str, ...], str]]:
    """The localizers that can read what a method gives, and those that cannot with the reason."""
    names = _distinct(sweep.localizers or (host.localizers[method.localizer].name,))
    reasons = {name: misfit_of(host, method, name) or _lack_of(host, method, choice, name) for name in names}
    parts: list[tuple[tuple[str, ...], str]] = []
    if fitting := tuple(name for name in names if not reasons[name]):
        parts.append((fitting, ""))
    for name in names:
        if reasons[name]:
            parts.append(((name,), reasons[name]))
    return parts


def misfit_of(host: Host, method: MethodSpec, localizer: str) -> str:
    """The reason why a localizer cannot read what a method gives; empty where it can."""
    spec = host.localizers[localizer]
    if method.matcher == NO_MATCHER:
        return "" if spec.maps else f"localizer '{localizer}' reads matches, and {method.name} has no matcher"
    gives = host.matchers[method.matcher].gives
    if gives in spec.matches:
        return ""
    reads = f"reads a {listed(sorted(spec.matches))}" if spec.matches else "reads no matches"
    return f"localizer '{localizer}' {reads}, and the matcher of {method.name} gives a {gives}"


def _lack_of(host: Host, method: MethodSpec, choice: DatasetChoice, localizer: str) -> str:
    """What a localizer lacks, of a method's maps or of a dataset; empty where it has all."""
    spec, dataset = host.localizers[localizer], host.datasets[choice.name]
    if spec.extractors and method.extractor not in spec.extractors:
        return (
            f"localizer '{localizer}' reads maps of {listed(sorted(spec.extractors))}, and {method.name} has "
            f"those of {method.extractor}"
        )
    if spec.reads_annotations and not dataset.mirror_partners:
        return (
            f"localizer '{localizer}' needs each keypoint's partner in the mirrored picture, and dataset "
            f"{dataset.name} names none"
        )
    return ""


def _is_learned(host: Host, prompt: str) -> bool:
    return prompt != NO_PROMPT and host.prompts[prompt].learned is not None


def _reads_file(host: Host, prompt: str) -> bool:
    """Says whether a prompt cannot be without a file of the user's own."""
    return prompt != NO_PROMPT and host.prompts[prompt].check_file is not None


def _files(sweep: Sweep, host: Host, method: str, prompt: str) -> Sequence[Path | None]:
    """The user's files for a method's prompt, one cell each; None for one that has none, or is there.

    Raises `UserError` where the prompt needs a file.
    """
    if _reads_file(host, prompt):
        # A method's file may be that of its own, learned prompt.
        own = sweep.prompt_files.get(prompt) or sweep.prompt_files.get(method)
        if not own:
            raise UserError(f"prompt '{prompt}' reads a file of yours: name it, {prompt}=FILE")
        return _distinct(own)
    if not _is_learned(host, prompt):
        return (None,)
    files = (*sweep.prompt_files.get(method, ()), *sweep.prompt_files.get(prompt, ()))
    return list(dict.fromkeys(files)) or (None,)


def _check_learned(sweep: Sweep, host: Host, methods: Sequence[MethodSpec]) -> None:
    """Checks the options of learned prompts.

    Raises:
        UserError: --prompt-file names something that no cell has or that takes no file, or --trained-on or
            --train-timestep is of no use.
    """
    learned: set[str] = set()
    reading: set[str] = set()
    for method in methods:
        extractor = host.extractors[method.extractor]
        for prompt in _prompts(sweep, host, method, extractor):
            if _is_learned(host, prompt):
                learned |= {method.name, prompt}
            elif _reads_file(host, prompt):
                reading |= {method.name, prompt}
    _check_files(sweep, host, learned | reading)
    options = {
        f"--trained-on {sweep.trained_on}": sweep.trained_on,
        "--train-timestep": sweep.train_timestep,
    }
    for option, value in options.items():
        if value and not learned:
            raise UserError(f"{option}: no method of this run has a learned prompt")


def _check_files(sweep: Sweep, host: Host, takers: set[str]) -> None:
    """Raises `UserError` for a file of something that takes none.

    Args:
        takers: methods and prompts of the run that take one.
    """
    choices = f"those are {', '.join(sorted(takers))}" if takers else "none of them has one"
    for name, files in sweep.prompt_files.items():
        if name in takers:
            continue
        if name in (sweep.prompts or ()):
            given = f"--prompts {name}={files[0]}"
            if _is_learned(host, name) or _reads_file(host, name):
                raise UserError(f"{given}: no method of this run takes prompt '{name}'; name one that does")
            raise UserError(f"{given}: prompt '{name}' reads no file; give --prompts {name}")
        raise UserError(
            f"--prompt-file {name}: expected a method of this run with a learned prompt; {choices}"
        )


def _changes(sweep: Sweep, method: MethodSpec, parameters: Parameters) -> list[Params]:
    """Every combination of the swept values of the parameters that this method has."""
    names = sorted(name for name in sweep.overrides if name in parameters.params)
    values = [read_values(name, sweep.overrides[name], parameters, method) for name in names]
    changes: list[Params] = []
    # Of no names there is one combination, the empty one: the method as it is.
    for combination in itertools.product(*values):
        changes.append(tuple(zip(names, combination, strict=True)))
    return changes
