"""Criteria to score under: protocols with their alphas and thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import get_args

from harness.errors import UserError
from harness.plugins.host import Host
from harness.records.schema import Record
from harness.specs import Averaging, ProtocolSpec, Threshold, read_alpha


@dataclass(frozen=True)
class Criterion:
    """A protocol with its alphas and threshold, ready to count.

    Attributes:
        threshold: what alpha multiplies; None for the dataset's own.
    """

    protocol: ProtocolSpec
    alphas: tuple[float, ...]
    threshold: Threshold | None = None


def protocol_name(name: str) -> str:
    """The protocol in a criterion's name: `original` of `original[threshold=box]`."""
    return name.partition("[")[0]


def frames_of(criteria: Sequence[Criterion]) -> dict[str, str]:
    """Name of each criterion's protocol -> its frame, in order of name, as records keep it."""
    frames: dict[str, str] = {}
    for criterion in criteria:
        frames[criterion.protocol.name] = criterion.protocol.frame
    return dict(sorted(frames.items()))


def averagings_of(criteria: Sequence[Criterion]) -> dict[str, Averaging]:
    """Name of each criterion's protocol -> its own average, in order of name, as records keep it."""
    averagings: dict[str, Averaging] = {}
    for criterion in criteria:
        averagings[criterion.protocol.name] = criterion.protocol.averaging
    return dict(sorted(averagings.items()))


def criteria_of(record: Record, host: Host) -> tuple[Criterion, ...]:
    """The criteria of a record's scores; those of protocols that no plugin has any more are left out."""
    alphas: dict[str, set[float]] = {}
    for score in record.scores:
        alphas.setdefault(score.protocol, set()).add(score.alpha)
    criteria: list[Criterion] = []
    for name, values in alphas.items():
        # The plugin that brought a protocol may have been removed since.
        if protocol_name(name) in host.protocols:
            criteria.append(make_criterion(host, name, tuple(sorted(values))))
    return tuple(criteria)


def make_criterion(host: Host, name: str, alphas: Sequence[float] | None = None) -> Criterion:
    """Makes the criterion called `protocol` or `protocol[threshold=box]`.

    Args:
        alphas: None for the protocol's own.

    Raises:
        UserError: if the protocol or the threshold is unknown, or an alpha is out of range.
    """
    protocol = host.protocols[protocol_name(name)]
    try:
        chosen = tuple(sorted(set(map(read_alpha, alphas or protocol.alphas))))
    except ValueError as error:
        raise UserError(f"protocol {name}: {error}; give a share of the length it multiplies") from error
    threshold = name.removesuffix("]").partition("[threshold=")[2]
    if not threshold:
        return Criterion(protocol, chosen)
    for known in get_args(Threshold):
        if threshold == known:
            # Under another name, so that tables keep it apart from the dataset's own threshold.
            return Criterion(replace(protocol, name=name), chosen, known)
    raise UserError(f"unknown threshold '{threshold}'; known: {', '.join(get_args(Threshold))}")


def merge_criteria(requested: Sequence[Criterion], earlier: Sequence[Criterion]) -> tuple[Criterion, ...]:
    """Merges two sequences of criteria: each protocol once, with the alphas of both."""
    merged: dict[str, Criterion] = {}
    for criterion in (*requested, *earlier):
        name = criterion.protocol.name
        alphas = set(criterion.alphas)
        if name in merged:
            alphas.update(merged[name].alphas)
        merged[name] = replace(criterion, alphas=tuple(sorted(alphas)))
    return tuple(merged.values())
