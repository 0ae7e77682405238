"""Localizers: points found on a target's feature map, and the record that `bench_localizers` collects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

from harness.specs.common import Scalar
from harness.specs.extractors import FeatureMap

if TYPE_CHECKING:
    import torch


class Located(NamedTuple):
    """Predictions for N points: (N, 2) original pixels of the target image, and N similarities."""

    points: torch.Tensor
    score: torch.Tensor


class Localizer(Protocol):
    """Source feature + target map -> point.

    One that can do many pairs at once may offer `many(tasks)` as well, with a list of (source, target, points) and a `Located` for each,
    whose bytes do not depend on what else is in the list; `bench run` then calls that.
    """

    def __call__(self, source: FeatureMap, target: FeatureMap, points: torch.Tensor) -> Located:
        """(N, 2) float64 original pixels of the source image -> predictions in original pixels of the target image."""


@dataclass(frozen=True, kw_only=True)
class LocalizerSpec:
    """A localizer.

    Attributes:
        make: keyword options -> the localizer.
        options: its options and their defaults, which a method's recipe may override.
    """

    name: str
    make: Callable[..., Localizer]
    options: Mapping[str, Scalar] = field(default_factory=dict)
    description: str = ""
