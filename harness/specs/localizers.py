"""Localizers: points found on a target's feature map, and the spec that `bench_localizers` collects."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, TypeGuard, get_args, runtime_checkable

from harness.errors import UserError
from harness.frames import GridConvention, PatchGrid
from harness.specs.bibtex import check_citation
from harness.specs.common import Files, Scalar
from harness.specs.extractors import FeatureMap

if TYPE_CHECKING:
    import torch

Reading = Literal["cell", "pixel", "patch"]
"""Position at which a localizer reads the source.

`cell` is the point itself, between four cells; `pixel` is the centre of the original pixel in which it lies;
`patch` is the cell that is nearest to it, whose patch it falls into.
"""


class Located(NamedTuple):
    """Predictions for N points: (N, 2) original pixels of the target image, and N similarities."""

    points: torch.Tensor
    score: torch.Tensor


class Localizer(Protocol):
    """Source feature + target map -> point.

    A localizer that takes many pairs at once is also a `BatchLocalizer`.
    """

    def __call__(self, source: FeatureMap, target: FeatureMap, points: torch.Tensor) -> Located:
        """Predicts points of the target image.

        Args:
            points: (N, 2) float64, original pixels of the source image.
        """


def is_batch_localizer(localizer: object) -> TypeGuard[BatchLocalizer]:
    """Says whether a localizer takes many pairs at once, by itself or through an object that it wraps.

    `isinstance` would not see what a wrapper hands on by `__getattr__`, from Python 3.12 on.
    """
    return hasattr(localizer, "many")


@runtime_checkable
class BatchLocalizer(Protocol):
    """A `Localizer` that also takes many pairs at once; `bench run` then hands it several pairs at a time."""

    def many(self, tasks: Sequence[tuple[FeatureMap, FeatureMap, torch.Tensor]]) -> Sequence[Located]:
        """Predictions for each (source, target, points), in their order.

        The bytes of a pair's predictions must not depend on the other pairs in `tasks`, and the predictions
        differ from those of a call by rounding only.
        """


@dataclass(frozen=True)
class PairAnnotations:
    """What an `AnnotatedLocalizer` is told of the points that it predicts.

    Attributes:
        partners: for each of the N points, the index of the point that takes its place when the picture is
            mirrored: its own where it has no partner, -1 where the partner is not visible in both images.
    """

    partners: tuple[int, ...]


@runtime_checkable
class AnnotatedLocalizer(Protocol):
    """A `Localizer` that also looks at annotations (`LocalizerSpec.reads_annotations`)."""

    def locate_annotated(
        self, source: FeatureMap, target: FeatureMap, points: torch.Tensor, annotations: PairAnnotations
    ) -> Located:
        """Predicts points of the target image.

        Args:
            points: (N, 2) float64, original pixels of the source image.
            annotations: of these points.
        """


def is_annotated_localizer(localizer: object) -> TypeGuard[AnnotatedLocalizer]:
    """Says whether a localizer looks at annotations, by itself or through an object that it wraps."""
    return hasattr(localizer, "locate_annotated")


@dataclass(frozen=True, kw_only=True)
class LocalizerSpec:
    """A localizer.

    Attributes:
        make: keyword options -> the localizer.
        options: its options and their defaults, which a method's recipe may override.
        grid: its way to lay the cells of a feature map on the frame's pixels where the map does not declare
            one. Corner to corner by default.
        reads: the position at which it reads the source's features (`Reading`); `cell` by default.
        matches: kinds of a matcher's matches that its `read` takes: `volume`, `flow`; empty for one that only
            compares feature maps.
        maps: whether it compares feature maps; False for one that only reads matches.
        reads_annotations: whether it is an `AnnotatedLocalizer`. Its predictions depend on which keypoints
            are visible in the target: every number of it is marked, and not ranked. Other datasets than
            those with `mirror_partners` are not applicable.
        extractors: names of the extractors whose maps it reads; empty for any.
        files: files that it reads. Predictions belong to their content; one that is not there is told before
            the run.
        citation: BibTeX of the paper that brought it, for `bench cite`; empty where there is none.
    """

    name: str
    make: Callable[..., Localizer]
    options: Mapping[str, Scalar] = field(default_factory=dict)
    grid: GridConvention = "corner"
    reads: Reading = "cell"
    matches: frozenset[str] = frozenset()
    maps: bool = True
    reads_annotations: bool = False
    extractors: frozenset[str] = frozenset()
    files: Files = ()
    description: str = ""
    citation: str = ""

    def __post_init__(self) -> None:
        """Raises `UserError` for a grid or a reading that does not exist: maps would be misread silently."""
        check_citation(f"localizer '{self.name}'", self.citation)
        named_grids, _ = get_args(GridConvention)
        grids, readings = get_args(named_grids), get_args(Reading)
        if not isinstance(self.grid, PatchGrid) and self.grid not in grids:
            raise UserError(f"localizer '{self.name}': unknown grid '{self.grid}'; known: {', '.join(grids)}")
        if self.reads not in readings:
            raise UserError(
                f"localizer '{self.name}': reads '{self.reads}' is unknown; known: {', '.join(readings)}"
            )
