"""Matchers: what is said of a pair of images as a whole, and the spec that `bench_matchers` collects.

A matcher stands between feature extractor and localizer. It sees the feature maps of both images, correlates
them, refines the correlation, and gives `Matches`, which a localizer reads at the query points.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, TypeGuard, runtime_checkable

from harness.frames import Frame, GridConvention, Size
from harness.specs.bibtex import check_citation
from harness.specs.common import Files, Scalar
from harness.specs.extractors import FeatureMap, MakeContext
from harness.specs.localizers import Located

if TYPE_CHECKING:
    import torch

NO_MATCHER = "none"
"""Name of the matcher of a method without one, whose localizer compares the feature maps itself."""

MatchesKind = Literal["volume", "flow"]
"""Kind of matches: scores of all source cells against all target cells, or one target position per cell."""


@dataclass(frozen=True)
class Lattice:
    """Cells of one side of `Matches`, and how they lie on the image.

    Attributes:
        frame: the image that the extractor was fed.
        cells: their number across and down.
        grid: how they lie on the frame's pixels; None leaves it to the localizer.
    """

    frame: Frame
    cells: Size
    grid: GridConvention | None = None


@dataclass(frozen=True, eq=False)
class Matches:
    """What a matcher says of a pair, always from source to target. Exactly one of the tensors is set.

    A network that looks up target points (NCNet, CATs and most others) is called with the roles swapped: its
    target is the source here.

    Attributes:
        source, target: the cells of both sides; h, w are those of the source, h', w' those of the target.
        volume: (h, w, h', w') scores of source cells against target cells; higher is better.
        flow: (2, h, w), for every source cell the position in the target in *cells* of `target`, x first;
            it may lie between cells and beyond them.
        confidence: (h, w) of a flow; higher is surer.
    """

    source: Lattice
    target: Lattice
    volume: torch.Tensor | None = None
    flow: torch.Tensor | None = None
    confidence: torch.Tensor | None = None

    @property
    def kind(self) -> MatchesKind:
        """`volume` or `flow`. Raises `ValueError` unless exactly one of them is there."""
        if (self.volume is None) == (self.flow is None):
            raise ValueError("matches hold either a volume or a flow")
        return "flow" if self.volume is None else "volume"


class Matcher(Protocol):
    """Feature maps of a pair -> matches."""

    def match(self, pairs: Sequence[tuple[FeatureMap, FeatureMap]]) -> Sequence[Matches]:
        """Returns the matches of each (source, target), in their order.

        A pair's matches must not depend on the other pairs, except by rounding.
        """


@runtime_checkable
class MatchesReader(Protocol):
    """A localizer that reads matches; one that also compares feature maps is a `Localizer` besides."""

    def read(self, matches: Matches, points: torch.Tensor) -> Located:
        """Predicts points of the target image.

        Args:
            points: (N, 2) float64, original pixels of the source image.
        """


def is_matches_reader(localizer: object) -> TypeGuard[MatchesReader]:
    """Says whether a localizer reads matches, by itself or through an object that it wraps."""
    return hasattr(localizer, "read")


@dataclass(frozen=True, kw_only=True)
class MatcherSpec:
    """A matcher.

    Attributes:
        make: builds it. Of the context it gets the parameters of extractor and matcher together, and the
            paths of its own weight sources.
        extractors: names of the extractors whose maps it understands.
        gives: the kind of its matches.
        params: its parameters and their defaults; part of a cell's identity. None may be called like one of
            its extractors' parameters.
        param_help, param_kinds, param_choices: as those of an `ExtractorSpec`.
        weights: names of the weight sources it reads. One that the extractor reads, too, is the same file.
        files: files that it reads besides, as those of an `ExtractorSpec`.
        citation: BibTeX of its paper, for `bench cite`; empty where there is none.
    """

    name: str
    make: Callable[[MakeContext], Matcher]
    extractors: frozenset[str]
    gives: MatchesKind = "volume"
    params: Mapping[str, Scalar] = field(default_factory=dict)
    param_help: Mapping[str, str] = field(default_factory=dict)
    param_kinds: Mapping[str, type] = field(default_factory=dict)
    param_choices: Mapping[str, tuple[Scalar, ...]] = field(default_factory=dict)
    weights: tuple[str, ...] = ()
    files: Files = ()
    description: str = ""
    citation: str = ""

    def __post_init__(self) -> None:
        """Raises `UserError` where the citation is not BibTeX."""
        check_citation(f"matcher '{self.name}'", self.citation)
