"""The contract of a localizer, checked on made-up features that are right and tell every place apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from harness.doctor.checks import LOCALIZER_CHECKS, spread_points
from harness.doctor.findings import CHEAP, Failed, Finding, Skipped, check_import, make_checks
from harness.doctor.subject import Subject
from harness.frames import Frame, Size
from harness.messages import listed
from harness.plugins.host import Host
from harness.specs import (
    ExtractorSpec,
    FeatureMap,
    ImagePair,
    ImageRequest,
    Lattice,
    Localizer,
    Located,
    MakeContext,
    MatcherSpec,
    Matches,
    MatchesKind,
    MethodSpec,
    is_matches_reader,
)

if TYPE_CHECKING:
    import torch

_SIZE, _CELLS, _BUMPS = Size(256, 256), 32, 8
"""Frame, cells along a side, and bumps along a side whose heights are a cell's features."""


KINDS: tuple[MatchesKind, ...] = ("volume", "flow")


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
    origin = host.localizers.origin(spec.name)
    matcher = None
    if not spec.maps:
        matcher = _matcher_of_places(next(kind for kind in KINDS if kind in spec.matches))
    subject = Subject(host, method, extractor, spec, origin, pairs, MakeContext(), matcher)
    subject.extractor = PlaceFeatures(subject.context)
    if matcher:
        subject.matcher = matcher.make(subject.context)
    yield from make_checks(CHECKS, subject)


class PlaceMatcher:
    """Correlates features of places, or says where the most similar one is."""

    def __init__(self, gives: MatchesKind) -> None:
        self._gives = gives

    def match(self, pairs: Sequence[tuple[FeatureMap, FeatureMap]]) -> list[Matches]:
        """A volume of cosines, or a flow to the best cells."""
        import torch

        results = []
        for source, target in pairs:
            units = [torch.nn.functional.normalize(each.data, dim=0) for each in (source, target)]
            volume = torch.einsum("cyx,cvu->yxvu", *units)
            lattices = [Lattice(each.frame, each.cells, each.grid) for each in (source, target)]
            if self._gives == "volume":
                results.append(Matches(lattices[0], lattices[1], volume=volume))
            else:
                best = volume.flatten(2).argmax(2)
                flow = torch.stack([best % _CELLS, best // _CELLS]).to(volume)
                results.append(Matches(lattices[0], lattices[1], flow=flow, confidence=volume.amax((2, 3))))
        return results


def _matcher_of_places(gives: MatchesKind) -> MatcherSpec:
    return MatcherSpec(
        name="places", make=lambda context: PlaceMatcher(gives), extractors=frozenset({"places"}), gives=gives
    )


def _check_import(subject: Subject) -> str:
    return check_import(subject.host, subject.plugin)


def _check_make(subject: Subject) -> str:
    from harness.isolation.guarded import without_guard

    localizer = without_guard(subject.localizer())
    return getattr(localizer, "__name__", type(localizer).__name__)


def _check_points(subject: Subject) -> str:
    points = spread_points(subject.pairs[0].source_size)
    located = _located(subject, subject.localizer(), points)
    _require_points(located, len(points))
    return f"{tuple(located.points.shape)}, in original pixels"


def _check_matches(subject: Subject) -> str:
    spec, localizer = subject.localizer_spec, subject.localizer()
    if not spec.matches:
        raise Skipped(f"'{spec.name}' compares maps alone")
    points = spread_points(subject.pairs[0].source_size)
    for kind in KINDS:
        if kind in spec.matches:
            if not is_matches_reader(localizer):
                raise Failed("declares matches and has no method 'read'")
            (matches,) = PlaceMatcher(kind).match(subject.maps[:1])
            _require_points(_as_located(localizer.read(matches, points)), len(points))
    return listed(sorted(spec.matches))


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
    return _as_located(subject.locate(localizer, source, target, points))


def _as_located(located: object) -> Located:
    # A plugin's own code: anything may come.
    if not isinstance(located, tuple) or len(located) != 2:
        raise Failed(f"returned a {type(located).__name__}; return Located(points, score)")
    return Located(*located)


def _require_points(located: Located, count: int) -> None:
    """Raises `Failed` unless there are finite predictions and scores of `count` queries."""
    for name, value, shape in (("points", located.points, (count, 2)), ("score", located.score, (count,))):
        if tuple(value.shape) != shape or not value.dtype.is_floating_point:
            raise Failed(f"{name} of {count} queries are {value.dtype} of shape {tuple(value.shape)}")
        if not value.isfinite().all():
            raise Failed(f"{name} has NaN or infinite values")


CHECKS: Mapping[str, Callable[[Subject], str]] = {
    CHEAP: _check_import,
    "the localizer can be made": _check_make,
    "predictions are finite, one for each query": _check_points,
    "the kinds of matches that it declares are read": _check_matches,
    "the same queries are located in the same places": _check_determinism,
    **LOCALIZER_CHECKS,
}
"""Checks in their order."""
