"""The contract of a protocol, checked on the annotations of the bundled dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from harness.datasets.splits import read_split
from harness.doctor.findings import CHEAP, Failed, Finding, Skipped, check_import, make_checks
from harness.frames import Size
from harness.messages import counted
from harness.plugins.host import Host
from harness.plugins.registry import Plugin
from harness.scoring.correctness import correct_keypoints, scorable_points
from harness.scoring.criteria import Criterion, make_criterion
from harness.scoring.own_lengths import own_lengths
from harness.scoring.points import Points
from harness.scoring.thresholds import kind_of, threshold_text
from harness.scoring.truth import Truth, truth_of

_FED = Size(256, 192)
"""Size of the image that an extractor was fed, as it were: not square, so that width and height differ."""


@dataclass
class _Subject:
    """The protocol that is examined."""

    host: Host
    name: str
    plugin: Plugin

    @cached_property
    def criterion(self) -> Criterion:
        """The protocol with its own alphas. Raises `UserError` for an alpha that is none."""
        return make_criterion(self.host, self.name)

    @cached_property
    def truth(self) -> Truth:
        """That of the bundled dataset."""
        return truth_of(read_split(self.host.datasets["shapes"], Path(), "test"))


def examine_protocol(host: Host, protocol: str) -> Iterator[Finding]:
    """Makes every check of a protocol in turn. Raises `UserError` for an unknown name."""
    spec = host.protocols[protocol]
    yield from make_checks(CHECKS, _Subject(host, spec.name, host.protocols.origin(spec.name)))


def _check_import(subject: _Subject) -> str:
    return check_import(subject.host, subject.plugin)


def _check_alphas(subject: _Subject) -> str:
    alphas = subject.criterion.alphas
    if not alphas:
        raise Failed("it has no alpha; give it those that its authors print")
    return ", ".join(f"{alpha:g}" for alpha in alphas)


def _check_threshold(subject: _Subject) -> str:
    criterion, truth = subject.criterion, subject.truth
    text = threshold_text(criterion, truth)
    if criterion.protocol.threshold is None:
        raise Skipped("each dataset's own")
    if not callable(kind_of(criterion, truth)):
        return text
    lengths = own_lengths(truth, criterion.protocol, _FED)
    known = lengths[~np.isnan(lengths)]
    if not len(known):
        raise Skipped(f"no pair of {truth.dataset} has {text}")
    ends = f"from {known.min():.4g} to {known.max():.4g} pixels"
    return f"{text}: {ends} on {counted(len(known), 'pair')} of {truth.dataset}"


def _check_truth(subject: _Subject) -> str:
    truth = subject.truth
    # As if a method had found every point.
    perfect = Points(truth.pair_ids, truth.counts, truth.points)
    points = scorable_points(truth, perfect, subject.criterion)
    if not points:
        raise Skipped(f"no pair of {truth.dataset} can be scored")
    shares = 100 * correct_keypoints(truth, points, subject.criterion, _FED).mean(axis=0)
    worst = int(shares.argmin())
    if shares[worst] < 100:
        raise Failed(
            f"PCK@{subject.criterion.alphas[worst]:g} of the true points themselves is {shares[worst]:.1f}; "
            "clamp fewer of them, or measure in another frame"
        )
    return ""


CHECKS: Mapping[str, Callable[[_Subject], str]] = {
    CHEAP: _check_import,
    "its alphas are shares or lengths": _check_alphas,
    "what alpha multiplies is a length on every pair that has one": _check_threshold,
    "true points are correct at every alpha": _check_truth,
}
"""Checks in their order."""
