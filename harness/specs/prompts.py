"""Prompts: conditions of extractors, and the spec that `bench_prompts` collects."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from harness.specs.bibtex import check_citation
from harness.specs.common import Files, Scalar, Scope
from harness.specs.extractors import ImageRequest, MakeContext
from harness.specs.tuning import NOT_STATED


class PairPrompt(NamedTuple):
    """Values of a prompt of scope `pair` that conditions source and target on different things."""

    source: Any
    target: Any


class Prompt(Protocol):
    """A prompt, made."""

    def __call__(self, category: str, images: tuple[ImageRequest, ...]) -> Any:
        """Returns the value that the extractor is conditioned on.

        A value holds for both images of a pair, unless it is a `PairPrompt`.

        Args:
            category: the word for the object; empty for scope `dataset`.
            images: none for scope `dataset` and `category`, one image for `image`, source and target for
                `pair`.
        """


class LearnedFile(NamedTuple):
    """Path of a learned prompt, with the facts that are known of it.

    Attributes:
        path: a file, or a folder of files that belong together.
        trained_on: the dataset it was trained on; empty where nothing says so.
        timestep: the diffusion timestep it was tuned at; None where nothing says so.
        tuned_on: data on which it was chosen among others, as `MethodSpec.tuned_on` has them: the validation
            split whose PCK chose a checkpoint.
    """

    path: Path
    trained_on: str = ""
    timestep: int | None = None
    tuned_on: tuple[str, ...] = (NOT_STATED,)


@dataclass(frozen=True, kw_only=True)
class LearnedSpec:
    """The way to find a learned prompt.

    Attributes:
        source: name of the weight source that holds the prompts there are.
        find: (local path of that source, dataset that the prompt was trained on, or None for the first) ->
            the file. Raises `UserError` that names the prompts there are.
        inspect: a user's own file -> the facts that are known of it. Raises `UserError` where it is not such
            a prompt.
    """

    source: str
    find: Callable[[Path, str | None], LearnedFile]
    inspect: Callable[[Path], LearnedFile]


@dataclass(frozen=True, kw_only=True)
class PromptSpec:
    """A prompt type.

    Attributes:
        kind: kind of value that it hands to an extractor: `text` (a string), or another kind that extractors
            name in `prompt_kinds`.
        scope: all that it depends on.
        make: builds it. Raises `NotApplicable` where it does not fit the context.
        params: part of a cell's identity.
        weights: names of the weight sources it reads.
        files: files that it reads besides, part of a cell's identity as an extractor's are; for a function,
            of `params`.
        learned: for a prompt that is read from a file, the way to find it where `--prompt-file` does not name
            one.
        check_file: for a prompt that reads a file of the user's own, which `--prompts NAME=FILE` names: looks
            before the work at `MakeContext.prompt_file` and at the pictures it is for
            (`MakeContext.pictures`). Returns what a reader of the numbers should know, one line each; raises
            `UserError` where the file is not what it should be.
        citation: BibTeX of the paper that brought it, for `bench cite`; empty where there is none.
    """

    name: str
    kind: str
    make: Callable[[MakeContext], Prompt]
    scope: Scope = "dataset"
    params: Mapping[str, Scalar] = field(default_factory=dict)
    weights: tuple[str, ...] = ()
    files: Files = ()
    learned: LearnedSpec | None = None
    check_file: Callable[[MakeContext], Sequence[str]] | None = None
    description: str = ""
    citation: str = ""

    def __post_init__(self) -> None:
        """Raises `UserError` where the citation is not BibTeX."""
        check_citation(f"prompt '{self.name}'", self.citation)
