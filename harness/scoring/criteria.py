"""What to score under: protocols with their alphas and thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import get_args

from harness.errors import UserError
from harness.plugins.host import Host
from harness.records.schema import Record
from harness.specs import ProtocolSpec, Threshold


@dataclass(frozen=True)
class Criterion:
    """A protocol with its alphas and threshold, ready to count.

    Attributes:
        threshold: what alpha multiplies; None for the dataset's own.
    """

    protocol: ProtocolSpec
    alphas: tuple[float, ...]
    threshold: Threshold | None = None


def criteria_of(record: Record, host: Host) -> tuple[Criterion, ...]:
    """What an earlier record was scored under, as far as its protocols are still there."""
    alphas: dict[str, set[float]] = {}
    for one in record.scores:
        alphas.setdefault(one.protocol, set()).add(one.alpha)
    return tuple(
        criterion(host, name, tuple(sorted(values)))
        for name, values in alphas.items()
        if name.partition("[")[0] in host.protocols
    )


def criterion(host: Host, name: str, alphas: Sequence[float] | None = None) -> Criterion:
    """The measure called `protocol` or `protocol[threshold=box]`, with the protocol's own alphas where none are given."""
    plain, _, threshold = name.removesuffix("]").partition("[threshold=")
    protocol = host.protocols[plain]
    chosen = tuple(sorted(set(alphas or protocol.alphas)))
    if not threshold:
        return Criterion(protocol, chosen)
    for known in get_args(Threshold):
        if threshold == known:
            # Under another name, so that tables keep it apart from the dataset's own threshold.
            return Criterion(replace(protocol, name=name), chosen, known)
    raise UserError(f"unknown threshold '{threshold}'; known: {', '.join(get_args(Threshold))}")


def merge_criteria(first: Sequence[Criterion], second: Sequence[Criterion]) -> tuple[Criterion, ...]:
    """Both, each protocol once with the alphas of either."""
    merged: dict[str, Criterion] = {}
    for one in (*first, *second):
        earlier = merged.get(one.protocol.name)
        alphas = tuple(sorted({*one.alphas, *(earlier.alphas if earlier else ())}))
        merged[one.protocol.name] = Criterion(one.protocol, alphas, one.threshold)
    return tuple(merged.values())
