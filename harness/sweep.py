"""The user's request as data: a sweep and its cells."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.files import with_home
from harness.specs import NO_MATCHER, NO_PROMPT, Scalar

Params = tuple[tuple[str, Scalar], ...]
"""Parameters in order of name."""


def format_value(value: Scalar) -> str:
    """A value as `--set` reads it: `none`, `true`, `261`."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return str(value)


@dataclass(frozen=True)
class DatasetChoice:
    """A dataset as the user named it: `name` or `name=PATH`."""

    name: str
    path: Path | None = None

    @classmethod
    def parse(cls, text: str) -> DatasetChoice:
        """Reads `pf-willow`, `folder=my/photos` or `folder="my photos, 2024"`.

        The double quotes, which keep a comma together in a list, say nothing here. A folder may have them in
        its name.
        """
        name, _, path = text.partition("=")
        # Not `Path.exists`, which raises for a name that is too long.
        if text.count('"') % 2 == 0 and not os.path.exists(path):  # noqa: PTH110
            name, _, path = text.replace('"', "").partition("=")
        return cls(name, Path(path) if path else None)

    @property
    def in_list(self) -> str:
        """The choice as a list of datasets has it: a path with a comma in double quotes."""
        if self.path is None:
            return self.name
        return f'{self.name}="{self.path}"' if "," in str(self.path) else f"{self.name}={self.path}"


def prompt_choices(texts: Sequence[str]) -> tuple[tuple[str, ...], dict[str, tuple[Path, ...]]]:
    """Reads prompts as the user named them, `NAME` or `NAME=FILE`.

    Returns:
        The names, each once, and the files of those that have some.
    """
    names: dict[str, None] = {}
    files: dict[str, tuple[Path, ...]] = {}
    for text in texts:
        # A file is named as a dataset's folder is, in double quotes where it has a comma.
        choice = DatasetChoice.parse(text)
        names[choice.name] = None
        if choice.path:
            files[choice.name] = (*files.get(choice.name, ()), with_home(choice.path))
    return tuple(names), files


@dataclass(frozen=True)
class Shard:
    """One of the `count` parts into which the pairs of a run are cut.

    Attributes:
        number: from 1.
    """

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Reads `3/8`. Raises `ValueError`, with a message that goes on after the text, for anything else."""
        match = re.fullmatch(r"\s*([0-9]{1,9})/(0*[1-9][0-9]{0,8})\s*", text)
        if not match:
            raise ValueError("is not I/N, such as 3/8 for the third of eight shards")
        shard = cls(int(match[1]), int(match[2]))
        if not 1 <= shard.number <= shard.count:
            raise ValueError(
                f"is no shard: shards of {shard.count} are 1/{shard.count} to {shard.count}/{shard.count}"
            )
        return shard

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def start(self, total: int) -> int:
        """Number of the `total` pairs that are in the shards before this one, of almost equal size."""
        size, rest = divmod(total, self.count)
        return (self.number - 1) * size + min(self.number - 1, rest)

    def end(self, total: int) -> int:
        """Number of the `total` pairs that are in this shard and those before it."""
        return replace(self, number=self.number + 1).start(total)


@dataclass(frozen=True)
class Sweep:
    """Everything that the user chose for a run.

    Attributes:
        methods, datasets: names, in the user's order.
        prompts, localizers: names; None leaves them to each method's recipe.
        split: one split for all datasets; None for each dataset's default.
        categories: names of those whose pairs alone are measured; None for all.
        overrides: parameter -> values to sweep, for the methods that have that parameter; texts are read in
            the kind of the parameter's default.
        prompt_files: method or prompt -> files of learned prompts, or of prompts that read one, a cell each.
        trained_on: of the learned prompts there are, those trained on this dataset.
        train_timestep: whether learned prompts are used at the timestep they were tuned at.
    """

    methods: tuple[str, ...]
    datasets: tuple[DatasetChoice, ...]
    prompts: tuple[str, ...] | None = None
    localizers: tuple[str, ...] | None = None
    split: str | None = None
    categories: tuple[str, ...] | None = None
    seeds: tuple[int, ...] = (0,)
    overrides: Mapping[str, tuple[Scalar, ...]] = field(default_factory=dict)
    prompt_files: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    trained_on: str | None = None
    train_timestep: bool = False


@dataclass(frozen=True)
class Cell:
    """One method with one prompt on one split of one dataset, with one seed.

    Attributes:
        params: all parameters of extractor and matcher, as this cell sets them.
        changed: those of them in which the cell differs from its method, for telling cells apart in a table.
        prompt_file: the user's file of a learned prompt, or of a prompt that reads one; None for one of the
            learned prompts there are, and for other prompts.
        trained_on: of the prompts there are, the one trained on this dataset; None for the first.
        train_timestep: whether the prompt's own timestep takes the place of the parameter, as
            `harness.running.resolve` arranges.
        matcher: its name; `none` for a method without one.
        localizers: names. Not part of the cell's identity: a rerun may add some.
        not_applicable: the reason why the method does not fit together with the prompt or the localizers;
            empty where it does.
        has_misfits: whether its localizers are those of a sweep that do not fit; a cell of its own.
        models: parameter -> folder, source or repository as the user named it, of parameters that stand for
            weights (`ExtractorSpec.weights_params`); `params` and `changed` have its short name.
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
    matcher: str = NO_MATCHER
    localizers: tuple[str, ...] = ()
    not_applicable: str = ""
    has_misfits: bool = False
    models: tuple[tuple[str, str], ...] = ()

    @property
    def label(self) -> str:
        """The method, with what the user changed of it: `dift[timestep=50]`."""
        changed: list[str] = []
        for name, value in self.changed:
            changed.append(f"{name}={format_value(value)}")
        if self.prompt_file:
            changed.append(f"prompt-file={_short_name(self.prompt_file)}")
        if self.trained_on:
            changed.append(f"trained-on={self.trained_on}")
        if self.seed:
            changed.append(f"seed={self.seed}")
        if not changed:
            return self.method
        return f"{self.method}[{','.join(changed)}]"


def cell_id(cell: Cell, dataset: str, ingredients: Mapping[str, object]) -> str:
    """A readable slug and 12 hex digits of a hash over everything that determines the numbers.

    Args:
        dataset: the dataset's label.
        ingredients: facts that the plan does not know: hashes of manifest and weights, precision, versions of
            plugins.
    """
    content = {
        "method": cell.method,
        "extractor": cell.extractor,
        "prompt": cell.prompt,
        # Of networks that parameters name, the content counts, which is among the ingredients.
        "params": [(name, value) for name, value in cell.params if name not in dict(cell.models)],
        "dataset": dataset,
        "split": cell.split,
        "seed": cell.seed,
        **ingredients,
    }
    # Only where there is one: other cells keep the ids that they had before there were matchers.
    if cell.matcher != NO_MATCHER:
        content["matcher"] = cell.matcher
    if cell.has_misfits:
        content["misfits"] = sorted(cell.localizers)
    text = json.dumps(content, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    parts = [dataset, cell.split, cell.label]
    if cell.prompt != NO_PROMPT:
        parts.append(cell.prompt)
    # Safe and short as a folder's name; the digest tells apart cells that it makes alike.
    slug = re.sub(r"[^A-Za-z0-9]+", "-", "-".join(parts))
    return f"{slug.strip('-').lower()[:100]}.{digest}"


def _short_name(path: Path) -> str:
    """A folder's name; a file's with that of its folder, since names like `best.safetensors` say little."""
    if path.suffix:
        return "/".join(path.parts[-2:])
    return path.name
