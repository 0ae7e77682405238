"""The contract of a localizer, checked on made-up features that are right and tell every place apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from harness.doctor.checks import LOCALIZER_CHECKS, spread_points
from harness.doctor.findings import CHEAP, Failed, Finding, check_import, make_checks
from harness.doctor.subject import Subject
from harness.frames import Frame, Size
from harness.plugins.host import Host
from harness.specs import (
    ExtractorSpec,
    FeatureMap,
    ImagePair,
    ImageRequest,
    Localizer,
    Located,
    MakeContext,
    MethodSpec,
)

if TYPE_CHECKING:
    import torch

_SIZE, _CELLS, _BUMPS = Size(256, 256), 32, 8
"""Frame, cells along a side, and bumps along a side whose heights are a cell's features."""


class PlaceFeatures:
    """Features that say where a cell lies in its picture: the heights of 8 x 8 bumps there."""

    def __init__(self, context: MakeContext) -> None:
        del context

    def extract(self, requests: Sequence[ImageRequest]) -> list[FeatureMap]:
        """The same features for every picture."""
        import torch

        cells = (torch.arange(_CELLS) + 0.5) / _CELLS
        bumps = (torch.arange(_BUMPS) + 0.5) / _BUMPS
        # (bumps, cells) along one axis; those of a picture are products of the two axes'.
        heights = torch.exp(-(((cells - bumps[:, None]) * _BUMPS) ** 2))
        data = torch.einsum("ay,bx->abyx", heights, heights).flatten(0, 1)
        return [FeatureMap(data.clone(), Frame.stretched(request.size, _SIZE)) for request in requests]


def examine_localizer(host: Host, localizer: str, pairs: Sequence[ImagePair]) -> Iterator[Finding]:
    """Makes every check of a localizer in turn. Raises `UserError` for an unknown name."""
    spec = host.localizers[localizer]
    method = MethodSpec(name="places", extractor="places", localizer=spec.name)
    extractor = ExtractorSpec(name="places", make=PlaceFeatures, image_size=_SIZE)
    subject = Subject(host, method, extractor, spec, host.localizers.origin(spec.name), pairs, MakeContext())
    subject.extractor = PlaceFeatures(subject.context)
    yield from make_checks(CHECKS, subject)


def _check_import(subject: Subject) -> str:
    return check_import(subject.host, subject.plugin)


def _check_make(subject: Subject) -> str:
    from harness.isolation.guarded import without_guard

    localizer = without_guard(subject.localizer())
    return getattr(localizer, "__name__", type(localizer).__name__)


def _check_points(subject: Subject) -> str:
    points = spread_points(subject.pairs[0].source_size)
    located = _located(subject, subject.localizer(), points)
    for name, value, shape in (
        ("points", located.points, (len(points), 2)),
        ("score", located.score, (len(points),)),
    ):
        if tuple(value.shape) != shape or not value.dtype.is_floating_point:
            raise Failed(f"{name} of {len(points)} queries are {value.dtype} of shape {tuple(value.shape)}")
        if not value.isfinite().all():
            raise Failed(f"{name} has NaN or infinite values")
    return f"{tuple(located.points.shape)}, in original pixels"


def _check_determinism(subject: Subject) -> str:
    import torch

    points = spread_points(subject.pairs[0].source_size)
    localizer = subject.localizer()
    one, two = (_located(subject, localizer, points) for _ in range(2))
    if not (torch.equal(one.points, two.points) and torch.equal(one.score, two.score)):
        raise Failed("the same queries were located in two places")
    return "equal"


def _located(subject: Subject, localizer: Localizer, points: torch.Tensor) -> Located:
    source, target = subject.maps[0]
    # A plugin's own code: anything may come.
    located: object = localizer(source, target, points)
    if not isinstance(located, tuple) or len(located) != 2:
        raise Failed(f"returned a {type(located).__name__}; return Located(points, score)")
    return Located(*located)


CHECKS: Mapping[str, Callable[[Subject], str]] = {
    CHEAP: _check_import,
    "the localizer can be made": _check_make,
    "predictions are finite, one for each query": _check_points,
    "the same queries are located in the same places": _check_determinism,
    **LOCALIZER_CHECKS,
}
"""Checks in their order."""
