"""A sweep becomes a list of cells. Pure: no file is read and nothing is imported."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import UserError
from harness.plugins import Host
from harness.specs import ExtractorSpec, MethodSpec, Scalar

NO_PROMPT = "none"

Params = tuple[tuple[str, Scalar], ...]
"""Parameters in order of name."""


@dataclass(frozen=True)
class DatasetChoice:
    """A dataset as the user named it: `name` or `name=PATH`."""

    name: str
    place: Path | None = None

    @classmethod
    def parse(cls, text: str) -> DatasetChoice:
        """`pf-willow` or `folder=my/photos`."""
        name, _, place = text.partition("=")
        return cls(name, Path(place) if place else None)


@dataclass(frozen=True)
class Sweep:
    """What the user asked for.

    Attributes:
        methods, datasets: names, in the user's order.
        prompts, localizers: names; None leaves them to each method's recipe.
        split: one split for all datasets; None for each dataset's default.
        overrides: parameter -> values to sweep, for the methods that have that parameter.
        prompt_files: method or prompt -> files of learned prompts, one cell each.
        trained_on: of the learned prompts there are, those tuned on this dataset.
        train_timestep: whether learned prompts are used at the timestep they were tuned at.
    """

    methods: tuple[str, ...]
    datasets: tuple[DatasetChoice, ...]
    prompts: tuple[str, ...] | None = None
    localizers: tuple[str, ...] | None = None
    split: str | None = None
    seeds: tuple[int, ...] = (0,)
    overrides: Mapping[str, tuple[Scalar, ...]] = field(default_factory=dict)
    prompt_files: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    trained_on: str | None = None
    train_timestep: bool = False


@dataclass(frozen=True)
class Cell:
    """One method with one prompt on one split of one dataset, with one seed.

    Attributes:
        params: all of the extractor's parameters, as this cell sets them.
        changed: those of them that the user set, for telling cells apart in a table.
        prompt_file: the user's file of a learned prompt; None for one of those there are.
        trained_on: which of those there are; None for the first.
        train_timestep: whether the prompt's own timestep takes the place of the parameter; `harness.prepare` puts it there.
        localizers: what to locate with. Not part of the cell's identity: a rerun may add some.
        not_applicable: why method and prompt do not fit together; empty where they do.
    """

    method: str
    extractor: str
    prompt: str
    dataset: DatasetChoice
    split: str
    seed: int
    params: Params = ()
    changed: Params = ()
    prompt_file: Path | None = None
    trained_on: str | None = None
    train_timestep: bool = False
    localizers: tuple[str, ...] = ()
    not_applicable: str = ""

    @property
    def label(self) -> str:
        """The method, with what the user changed of it: `dift[timestep=50]`."""
        changed = [f"{name}={value}" for name, value in self.changed]
        if self.prompt_file:
            changed.append(f"prompt-file={_short(self.prompt_file)}")
        if self.trained_on:
            changed.append(f"trained-on={self.trained_on}")
        if self.seed:
            changed.append(f"seed={self.seed}")
        return f"{self.method}[{','.join(changed)}]" if changed else self.method


def plan(sweep: Sweep, host: Host) -> list[Cell]:
    """The cells of a sweep, none twice, in the order: datasets, methods, prompts, parameters, seeds.

    Raises:
        UserError: for an unknown name, a parameter that no method has, or a sweep in which nothing is applicable.
    """
    methods = [host.method(name) for name in _once(sweep.methods)]
    localizers = tuple(host.localizer(name).name for name in _once(sweep.localizers or ()))
    _check_overrides(sweep, host, methods)
    _check_learned(sweep, host, methods)
    cells: list[Cell] = []
    for choice in _once(sweep.datasets):
        split = _split(sweep, host, choice)
        for method in methods:
            extractor = host.extractor(method.extractor)
            for prompt in _prompts(sweep, host, method, extractor):
                for changed in _changes(sweep, extractor):
                    params = {**extractor.params, **method.params, **dict(changed)}
                    for file, seed in itertools.product(_files(sweep, host, method.name, prompt), _once(sweep.seeds)):
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
                                localizers=localizers or (host.localizer(method.localizer).name,),
                                not_applicable=_misfit(host, extractor, prompt),
                            )
                        )
    if cells and all(cell.not_applicable for cell in cells):
        raise UserError(f"nothing to run: {cells[0].not_applicable}")
    return cells


def cell_id(cell: Cell, dataset: str, ingredients: Mapping[str, object]) -> str:
    """A readable slug and 12 hex digits of a hash over what determines the numbers.

    Args:
        dataset: the dataset's label.
        ingredients: what the plan does not know: hashes of manifest and weights, precision, versions of plugins.
    """
    content = {
        "method": cell.method,
        "extractor": cell.extractor,
        "prompt": cell.prompt,
        "params": cell.params,
        "dataset": dataset,
        "split": cell.split,
        "seed": cell.seed,
        **ingredients,
    }
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]
    prompt = [] if cell.prompt == NO_PROMPT else [cell.prompt]
    slug = "-".join([dataset, cell.split, cell.label, *prompt])
    return f"{re.sub(r'[^A-Za-z0-9]+', '-', slug).strip('-').lower()[:100]}.{digest}"


def _once(items: Iterable[str] | Iterable[int] | Iterable[DatasetChoice]) -> list:  # type: ignore[type-arg]
    return list(dict.fromkeys(items))


def _split(sweep: Sweep, host: Host, choice: DatasetChoice) -> str:
    spec = host.dataset(choice.name)
    split = sweep.split or spec.splits[0]
    if split not in spec.splits:
        raise UserError(f"dataset {spec.name} has no split '{split}'; it has {', '.join(spec.splits)}")
    return split


def _prompts(sweep: Sweep, host: Host, method: MethodSpec, extractor: ExtractorSpec) -> Sequence[str]:
    for prompt in sweep.prompts or ():
        host.prompt(prompt)
    if not extractor.prompt_kinds:
        return (NO_PROMPT,)
    return _once(sweep.prompts or (method.prompt,))


def _misfit(host: Host, extractor: ExtractorSpec, prompt: str) -> str:
    if prompt == NO_PROMPT:
        return ""
    kind = host.prompt(prompt).kind
    if kind in extractor.prompt_kinds:
        return ""
    return f"prompt '{prompt}' is of kind '{kind}', and {extractor.name} takes {', '.join(sorted(extractor.prompt_kinds))}"


def _learned(host: Host, prompt: str) -> bool:
    return prompt != NO_PROMPT and host.prompt(prompt).learned is not None


def _files(sweep: Sweep, host: Host, method: str, prompt: str) -> Sequence[Path | None]:
    """The user's files for a method's learned prompt, one cell each; None for the one there is."""
    if not _learned(host, prompt):
        return (None,)
    return list(dict.fromkeys((*sweep.prompt_files.get(method, ()), *sweep.prompt_files.get(prompt, ())))) or (None,)


def _short(path: Path) -> str:
    """A file's name, with its folder's where names like `best.safetensors` and `caption.pt` tell nothing."""
    return "/".join(path.parts[-2:]) if path.suffix else path.name


def _check_learned(sweep: Sweep, host: Host, methods: Sequence[MethodSpec]) -> None:
    """Raises `UserError` for --prompt-file of something that no cell has, or that takes no file, and for a --trained-on without use."""
    used = {(method.name, prompt) for method in methods for prompt in _prompts(sweep, host, method, host.extractor(method.extractor))}
    learned = {name for both in used if _learned(host, both[1]) for name in both}
    for name in sweep.prompt_files:
        if name not in learned:
            known = f"those are {', '.join(sorted(learned))}" if learned else "none of them has one"
            raise UserError(f"--prompt-file {name}: expected a method of this run with a learned prompt; {known}")
    for option, given in ((f"--trained-on {sweep.trained_on}", sweep.trained_on), ("--train-timestep", sweep.train_timestep)):
        if given and not learned:
            raise UserError(f"{option}: no method of this run has a learned prompt")


def _changes(sweep: Sweep, extractor: ExtractorSpec) -> list[Params]:
    """Every combination of the swept values of the parameters this extractor has."""
    names = sorted(name for name in sweep.overrides if name in extractor.params)
    values = [list(dict.fromkeys(sweep.overrides[name])) for name in names]
    return [tuple(zip(names, combination, strict=True)) for combination in itertools.product(*values)]


def _check_overrides(sweep: Sweep, host: Host, methods: Sequence[MethodSpec]) -> None:
    for name in sweep.overrides:
        if not any(name in host.extractor(method.extractor).params for method in methods):
            raise UserError(f"--{name.replace('_', '-')}: none of {', '.join(sweep.methods)} has a parameter '{name}'")
