"""Prompts: what extractors are conditioned on, and the record that `bench_prompts` collects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from harness.specs.common import Scalar, Scope
from harness.specs.extractors import ImageRequest, MakeContext


class PairPrompt(NamedTuple):
    """What a prompt of scope `pair` returns where source and target are conditioned on different things."""

    source: Any
    target: Any


class Prompt(Protocol):
    """A prompt, made."""

    def __call__(self, category: str, images: tuple[ImageRequest, ...]) -> Any:
        """What the extractor is conditioned on.

        `images` is empty for scope `dataset` and `category`, one image for `image`, source and target for `pair`. A value holds for
        both images of a pair, unless it is a `PairPrompt`.
        """


class LearnedFile(NamedTuple):
    """Where a learned prompt lies, and what is known of it.

    Attributes:
        path: a file, or a folder of files that belong together.
        trained_on: the dataset it was tuned on; empty where nothing says so.
        timestep: the diffusion timestep it was tuned at; None where nothing says so.
    """

    path: Path
    trained_on: str = ""
    timestep: int | None = None


@dataclass(frozen=True, kw_only=True)
class LearnedSpec:
    """How a prompt that was learned is found.

    Attributes:
        source: name of the weight source that holds the prompts there are.
        find: (local path of that source, dataset the prompt was tuned on or None for the first) -> the file. Raises `UserError` that names
            what there is.
        inspect: what is known of a user's own file. Raises `UserError` where it is no such prompt.
    """

    source: str
    find: Callable[[Path, str | None], LearnedFile]
    inspect: Callable[[Path], LearnedFile]


@dataclass(frozen=True, kw_only=True)
class PromptSpec:
    """A prompt type.

    Attributes:
        kind: what it hands to an extractor: `text` (a string), or another kind that extractors name in `prompt_kinds`.
        scope: what it depends on.
        make: builds it. Raises `NotApplicable` where it does not fit the context.
        params: part of a cell's identity.
        weights: names of the weight sources it reads.
        learned: for a prompt that is read from a file: how the file is found where `--prompt-file` names none.
    """

    name: str
    kind: str
    make: Callable[[MakeContext], Prompt]
    scope: Scope = "dataset"
    params: Mapping[str, Scalar] = field(default_factory=dict)
    weights: tuple[str, ...] = ()
    learned: LearnedSpec | None = None
    description: str = ""
