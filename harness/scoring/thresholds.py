"""Which pairs can be scored at all: those whose target has the length that alpha multiplies.

A length that a pair lacks is the same in every frame, so that it is known from the annotations alone, before
any work. Where no pair of a dataset has it (no target has a box), the measure is *not applicable* to that
dataset; where some lack it, those pairs fail by name and the others are scored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from harness.messages import counted
from harness.records.schema import Failure, Record
from harness.scoring.criteria import Criterion
from harness.scoring.own_lengths import own_lengths
from harness.scoring.truth import Truth
from harness.specs import ProtocolSpec, Threshold
from harness.specs.protocols import OwnThreshold


class Measures(NamedTuple):
    """Criteria as a dataset has them.

    Attributes:
        criteria: those that apply to it.
        not_applicable: name of each other criterion's protocol -> the reason.
    """

    criteria: tuple[Criterion, ...]
    not_applicable: Mapping[str, str]


def kind_of(criterion: Criterion, truth: Truth) -> OwnThreshold:
    """What a criterion's alpha multiplies on a split: the user's choice, the protocol's, or the dataset's."""
    own = criterion.protocol.threshold
    return criterion.threshold or (truth.threshold if own is None else own)


def threshold_text(criterion: Criterion, truth: Truth) -> str:
    """What a criterion's alpha multiplies, as records and captions say it: `box`, `10 pixels`."""
    kind = kind_of(criterion, truth)
    if callable(kind):
        return criterion.protocol.length
    return kind if isinstance(kind, str) else f"{kind:g} {'pixel' if kind == 1 else 'pixels'}"


def lacking_pairs(truth: Truth, criterion: Criterion) -> Mapping[str, str]:
    """Pair -> why its threshold length does not exist, of the pairs with a point to score."""
    kind = kind_of(criterion, truth)
    if isinstance(kind, str):
        return _lacking_named(truth, kind)
    return _lacking_own(truth, criterion.protocol) if callable(kind) else {}


@lru_cache(maxsize=16)
def _lacking_named(truth: Truth, kind: Threshold) -> Mapping[str, str]:
    return truth.lacking(kind)


@lru_cache(maxsize=16)
def _lacking_own(truth: Truth, protocol: ProtocolSpec) -> Mapping[str, str]:
    lacks = np.isnan(own_lengths(truth, protocol, None))
    reason = f"it has no length that alpha could multiply ({protocol.length})"
    return {truth.pair_ids[number]: reason for number in np.flatnonzero(lacks)}


def applicable(truth: Truth, criteria: Sequence[Criterion]) -> Measures:
    """Sets apart the criteria whose threshold length no pair of a split has."""
    reasons: dict[str, str] = {}
    for criterion in criteria:
        reason = _lack_of_all(truth, criterion)
        if reason:
            reasons[criterion.protocol.name] = reason
    kept = [criterion for criterion in criteria if criterion.protocol.name not in reasons]
    return Measures(tuple(kept), dict(sorted(reasons.items())))


def merge_reasons(measures: Measures, earlier: Record | None) -> dict[str, str]:
    """Protocols that were asked for, now or earlier, and that the dataset lacks -> the reasons."""
    reasons = {**(earlier.not_applicable if earlier else {}), **measures.not_applicable}
    for criterion in measures.criteria:
        reasons.pop(criterion.protocol.name, None)
    return dict(sorted(reasons.items()))


def _lack_of_all(truth: Truth, criterion: Criterion) -> str:
    """The reason why no pair of a split has a threshold length; empty where it is not the dataset's.

    Where each pair has a box or points, and they are wrong, that is damage, and not the dataset's kind.
    """
    kind, where = kind_of(criterion, truth), f"{truth.dataset} {truth.split}"
    if callable(kind):
        if truth.pair_ids and len(lacking_pairs(truth, criterion)) == len(truth.pair_ids):
            return f"no target of {where} has what alpha multiplies: {criterion.protocol.length}"
        return ""
    if kind not in truth.lacks:
        return ""
    if kind == "box":
        return f"no target of {where} has a box, which is what alpha multiplies"
    return f"no target of {where} has two points, whose extent is what alpha multiplies"


def unscorable_pairs(truth: Truth, criteria: Sequence[Criterion]) -> dict[str, str]:
    """Pair -> the reason why it cannot be scored under any of the criteria."""
    if not criteria:
        return {}
    first, *others = [lacking_pairs(truth, criterion) for criterion in criteria]
    return {
        pair_id: reason for pair_id, reason in first.items() if all(pair_id in lacking for lacking in others)
    }


def protocol_failures(
    truth: Truth, predicted: Mapping[str, Sequence[str]], criteria: Sequence[Criterion]
) -> list[Failure]:
    """Pairs that have predictions and cannot be scored under one of the criteria.

    Args:
        predicted: pair -> localizers with predictions of it.
    """
    failures: list[Failure] = []
    for criterion in criteria:
        for pair_id, reason in lacking_pairs(truth, criterion).items():
            if pair_id in predicted:
                failure = Failure(
                    pair_id=pair_id,
                    localizer=None,
                    localizers=sorted(predicted[pair_id]),
                    protocol=criterion.protocol.name,
                    error=reason,
                )
                failures.append(failure)
    return failures


def in_order(failures: Sequence[Failure]) -> list[Failure]:
    """Failures in order of pair, then by protocol and localizer."""

    def position(failure: Failure) -> tuple[str, str, str]:
        # A failure of all protocols or localizers comes before those of single ones.
        return failure.pair_id, failure.protocol or "", failure.localizer or ""

    return sorted(failures, key=position)


def unscorable_line(truth: Truth, criterion: Criterion) -> str:
    """A line about the pairs of a split that a criterion cannot score; empty where there are none."""
    lacking = lacking_pairs(truth, criterion)
    if not lacking:
        return ""
    pair_id, reason = next(iter(lacking.items()))
    which = f"pair {pair_id}"
    if len(lacking) > 1:
        which = f"{counted(len(lacking), 'pair')} (the first: {pair_id})"
    return (
        f"{truth.dataset} {truth.split}: {which} cannot be scored under {criterion.protocol.name}: {reason}"
    )
