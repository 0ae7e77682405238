"""Checks of a matcher: its matches are what its spec says, the same each time, and of their pair alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from harness.doctor.comparing import TOLERANCE, compare
from harness.doctor.findings import Failed
from harness.doctor.subject import Subject
from harness.errors import ExtractionError
from harness.isolation.guarded import without_guard
from harness.running.pair_matches import check_matches
from harness.specs import FeatureMap, Matches

if TYPE_CHECKING:
    import torch


def _check_make(subject: Subject) -> str:
    spec = subject.matcher_spec
    assert spec is not None
    matcher = spec.make(subject.context)
    if not callable(getattr(matcher, "match", None)):
        raise Failed("has no method 'match'")
    subject.matcher = matcher
    return type(without_guard(matcher)).__name__


def _check_result(subject: Subject) -> str:
    spec = subject.matcher_spec
    assert spec is not None
    for (source, target), matches in zip(subject.maps, subject.match(subject.maps), strict=True):
        try:
            check_matches(matches, source, target, spec.gives)
        except ExtractionError as error:
            raise Failed(str(error)) from error
    tensor = _tensor(matches)
    return f"{spec.gives} {tuple(tensor.shape)}, {str(tensor.dtype).removeprefix('torch.')}"


def _check_determinism(subject: Subject) -> str:
    first, again = (_tensor(*subject.match(subject.maps[:1])) for _ in range(2))
    return compare(first, again, 0.0, "matches")


def _check_pairs(subject: Subject) -> str:
    # Not to the byte: kernels for another batch size add in another order.
    together = subject.match(subject.maps)
    details = []
    for maps, matches in zip(subject.maps, together, strict=True):
        (alone,) = subject.match([maps])
        details.append(compare(_tensor(alone), _tensor(matches), TOLERANCE, "matches"))
    return max(details, key=lambda detail: (detail != "equal", detail))


def _check_maps_stay(subject: Subject) -> str:
    pair = subject.maps[0]
    before = [tensor.clone() for feature_map in pair for tensor in _tensors(feature_map)]
    subject.match([pair])
    after = [tensor for feature_map in pair for tensor in _tensors(feature_map)]
    if not all((first == second).all() for first, second in zip(before, after, strict=True)):
        raise Failed("the matcher changes the maps, which other pairs are matched with, too; work on copies")
    return "unchanged"


def _tensor(matches: Matches) -> torch.Tensor:
    tensor = matches.volume if matches.flow is None else matches.flow
    if tensor is None:
        raise Failed("matches hold either a volume or a flow")
    return tensor


def _tensors(feature_map: FeatureMap) -> tuple[torch.Tensor, ...]:
    return (feature_map.data, *feature_map.levels)


MATCHER_CHECKS: Mapping[str, Callable[[Subject], str]] = {
    "the matcher can be made": _check_make,
    "matches are of the declared kind, finite, of the pair's images": _check_result,
    "the same pair gives the same matches": _check_determinism,
    "matches of a pair do not depend on the other pairs": _check_pairs,
    "the matcher leaves feature maps as they are": _check_maps_stay,
}
"""Checks in their order."""
