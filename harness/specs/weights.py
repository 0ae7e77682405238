"""Weight sources: the spec that `bench_weights` collects."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from harness.specs.bibtex import check_citation
from harness.specs.common import RemoteFile, Scalar


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Weights that are easily mistaken for a source's.

    Attributes:
        why: their true nature, in a few words.
        names: names of repositories, without their owner.
        marks: JSON file -> key -> value. A folder in which all of them hold is refused, whatever its name.
    """

    why: str
    names: tuple[str, ...] = ()
    marks: Mapping[str, Mapping[str, Scalar]] = field(default_factory=dict)


class NetworkTraining(NamedTuple):
    """What a file says of the training of the network in it.

    Attributes:
        trained_on: the dataset; empty where the file does not say it.
        tuned_on: data on which it was chosen among others, as `MethodSpec.tuned_on` has them: the validation
            split whose PCK chose a step.
    """

    trained_on: str = ""
    tuned_on: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class WeightSource:
    """A file or folder of weights.

    A pattern is a path below the folder with `*` within its parts. Of alternatives separated by `|`, the
    first with a file counts; an alternative of several patterns joined by `&` has a file for each.

    Attributes:
        locate: the local path, for weights that come with a package. Raises `UserError` that says which file
            to get and where to put it. None for weights that `bench weights fetch` gets.
        mirrors: repositories of the Hugging Face hub that have them, in order of preference, as `owner/name`
            or `owner/name@revision`.
        downloads: plain addresses, for weights that are not on the hub.
        files: patterns that each must have a file. Only files of these patterns, and of `optional`, are
            fetched and hashed.
        optional: patterns that may have files.
        file: name of the one file that they consist of; extractors then get its path in place of the
            folder's.
        sha256: file -> expected hash, where known.
        differences: folder -> a line for each value of its configuration that features depend on and that is
            not the published one; None where configurations are not compared. Files and configuration
            together make weights the published ones.
        conversion: how the weights are brought into a folder, for who has them in another format.
        refused: other weights that must not be mistaken for them.
        stand_in: name of the bundled source that replaces them under `--weights tiny`.
        trained_on: the dataset whose pictures they know, for small networks that were trained on one alone;
            a run on other pictures says so.
        training: local path -> what the file says of its own training, for networks that are trained for
            matching; None for those whose training is no matter of the table, as of a backbone's.
        advice: steps of the user before they can be fetched, such as accepting a licence.
        download_bytes: about what a fetch brings, in bytes; None where nobody says it.
        citation: BibTeX of the paper that brought the network, for `bench cite`; empty where there is none.
    """

    name: str
    locate: Callable[[], Path] | None = None
    mirrors: tuple[str, ...] = ()
    downloads: tuple[RemoteFile, ...] = ()
    files: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    file: str = ""
    sha256: Mapping[str, str] = field(default_factory=dict)
    differences: Callable[[Path], Sequence[str]] | None = None
    conversion: str = ""
    refused: tuple[Refusal, ...] = ()
    stand_in: str | None = None
    trained_on: str = ""
    training: Callable[[Path], NetworkTraining] | None = None
    advice: str = ""
    download_bytes: int | None = None
    description: str = ""
    citation: str = ""

    def __post_init__(self) -> None:
        """Raises `UserError` where the citation is not BibTeX."""
        check_citation(f"weights '{self.name}'", self.citation)
