"""A sweep becomes a list of cells. Pure: no file is read and nothing is imported."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path

from harness.errors import UserError
from harness.plugins.host import Host
from harness.running.parameters import read_values, require_parameters
from harness.specs import NO_PROMPT, ExtractorSpec, MethodSpec
from harness.sweep import Cell, DatasetChoice, Params, Sweep


def plan(sweep: Sweep, host: Host) -> list[Cell]:
    """The cells of a sweep, none twice, in the order: datasets, methods, prompts, parameters, seeds.

    Raises:
        UserError: for an unknown name, a parameter that no method has, a value of the wrong kind, or a sweep in which nothing is applicable.
    """
    methods = [host.methods[name] for name in _once(sweep.methods)]
    localizers = tuple(host.localizers[name].name for name in _once(sweep.localizers or ()))
    require_parameters(
        sweep.overrides, {method.name: host.extractors[method.extractor] for method in methods}
    )
    _check_learned(sweep, host, methods)
    cells: list[Cell] = []
    for choice in _once(sweep.datasets):
        split = _split(sweep, host, choice)
        for method in methods:
            extractor = host.extractors[method.extractor]
            for prompt in _prompts(sweep, host, method, extractor):
                for changed in _changes(sweep, method, extractor):
                    params = {**extractor.params, **method.params, **dict(changed)}
                    for file, seed in itertools.product(
                        _files(sweep, host, method.name, prompt), _once(sweep.seeds)
                    ):
                        cells.append(
                            Cell(
                                method=method.name,
                                extractor=extractor.name,
                                prompt=prompt,
                                dataset=choice,
                                split=split,
                                seed=seed,
                                params=tuple(sorted(params.items())),
                                changed=changed,
                                prompt_file=file,
                                trained_on=sweep.trained_on if _learned(host, prompt) and not file else None,
                                train_timestep=sweep.train_timestep and _learned(host, prompt),
                                localizers=localizers or (host.localizers[method.localizer].name,),
                                not_applicable=_misfit(host, extractor, prompt),
                            )
                        )
    if cells and all(cell.not_applicable for cell in cells):
        raise UserError(f"nothing to run: {cells[0].not_applicable}")
    return cells


def _once(items: Iterable[str] | Iterable[int] | Iterable[DatasetChoice]) -> list:  # type: ignore[type-arg]
    return list(dict.fromkeys(items))


def _split(sweep: Sweep, host: Host, choice: DatasetChoice) -> str:
    spec = host.datasets[choice.name]
    split = sweep.split or spec.splits[0]
    if split not in spec.splits:
        raise UserError(f"dataset {spec.name} has no split '{split}'; it has {', '.join(spec.splits)}")
    return split


def _prompts(sweep: Sweep, host: Host, method: MethodSpec, extractor: ExtractorSpec) -> Sequence[str]:
    for prompt in sweep.prompts or ():
        host.prompts[prompt]
    if not extractor.prompt_kinds:
        return (NO_PROMPT,)
    return _once(sweep.prompts or (method.prompt,))


def _misfit(host: Host, extractor: ExtractorSpec, prompt: str) -> str:
    if prompt == NO_PROMPT:
        return ""
    kind = host.prompts[prompt].kind
    if kind in extractor.prompt_kinds:
        return ""
    return f"prompt '{prompt}' is of kind '{kind}', and {extractor.name} takes {', '.join(sorted(extractor.prompt_kinds))}"


def _learned(host: Host, prompt: str) -> bool:
    return prompt != NO_PROMPT and host.prompts[prompt].learned is not None


def _files(sweep: Sweep, host: Host, method: str, prompt: str) -> Sequence[Path | None]:
    """The user's files for a method's learned prompt, one cell each; None for the one there is."""
    if not _learned(host, prompt):
        return (None,)
    return list(
        dict.fromkeys((*sweep.prompt_files.get(method, ()), *sweep.prompt_files.get(prompt, ())))
    ) or (None,)


def _check_learned(sweep: Sweep, host: Host, methods: Sequence[MethodSpec]) -> None:
    """Raises `UserError` for --prompt-file of something that no cell has, or that takes no file, and for a --trained-on without use."""
    used = {
        (method.name, prompt)
        for method in methods
        for prompt in _prompts(sweep, host, method, host.extractors[method.extractor])
    }
    learned = {name for both in used if _learned(host, both[1]) for name in both}
    for name in sweep.prompt_files:
        if name not in learned:
            known = f"those are {', '.join(sorted(learned))}" if learned else "none of them has one"
            raise UserError(
                f"--prompt-file {name}: expected a method of this run with a learned prompt; {known}"
            )
    for option, given in (
        (f"--trained-on {sweep.trained_on}", sweep.trained_on),
        ("--train-timestep", sweep.train_timestep),
    ):
        if given and not learned:
            raise UserError(f"{option}: no method of this run has a learned prompt")


def _changes(sweep: Sweep, method: MethodSpec, extractor: ExtractorSpec) -> list[Params]:
    """Every combination of the swept values of the parameters this extractor has."""
    names = sorted(name for name in sweep.overrides if name in extractor.params)
    values = [read_values(name, sweep.overrides[name], extractor, method) for name in names]
    return [tuple(zip(names, combination, strict=True)) for combination in itertools.product(*values)]
