"""The contract of a dataset: `bench data verify` of each split, and that a split is always the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from harness.datasets.splits import read_split
from harness.datasets.verify import SplitReport, verify_dataset
from harness.doctor.findings import CHEAP, Failed, Finding, Skipped, Warned, check_import, make_checks
from harness.errors import UserError
from harness.messages import counted
from harness.plugins.host import Host
from harness.plugins.registry import Plugin
from harness.specs import DatasetSpec


@dataclass
class _Subject:
    """The dataset that is examined.

    Attributes:
        folder: its own.
        reports: split -> what `bench data verify` says of it, once that was asked.
    """

    host: Host
    spec: DatasetSpec
    plugin: Plugin
    folder: Path
    reports: dict[str, SplitReport] = field(default_factory=dict)

    def report(self, split: str) -> SplitReport:
        """Verifies a split, once. Raises `UserError` where it is not there."""
        if split not in self.reports:
            (self.reports[split],) = verify_dataset(self.spec, self.folder, [split])
        return self.reports[split]


def examine_dataset(host: Host, dataset: str, folder: Path) -> Iterator[Finding]:
    """Makes every check of a dataset in turn.

    Args:
        folder: the dataset's own.

    Raises:
        UserError: there is no such dataset.
    """
    spec = host.datasets[dataset]
    subject = _Subject(host, spec, host.datasets.origin(spec.name), folder)
    checks: dict[str, Callable[[_Subject], str]] = {CHEAP: _check_import}
    for split in spec.splits:
        checks[f"{split}: pairs, points and pictures can be read"] = _Split(split, _check_faults)
        checks[f"{split}: annotations look as they should"] = _Split(split, _check_warnings)
        checks[f"{split}: opened again, it is the same"] = _Split(split, _check_determinism)
    yield from make_checks(checks, subject)


@dataclass(frozen=True)
class _Split:
    """A check of one split."""

    split: str
    check: Callable[[_Subject, str], str]

    def __call__(self, subject: _Subject) -> str:
        try:
            return self.check(subject, self.split)
        except UserError as error:
            # Told once: the checks that need the split are skipped, instead of failing by the same fault.
            if self.check is _check_faults:
                raise
            raise Skipped("it cannot be opened") from error


def _check_import(subject: _Subject) -> str:
    return check_import(subject.host, subject.plugin)


def _check_faults(subject: _Subject, split: str) -> str:
    report = subject.report(split)
    faults = [*report.deviations, *report.faults]
    if faults:
        more = f" (and {len(faults) - 1:,} more; 'bench data verify' lists them)" if len(faults) > 1 else ""
        raise Failed(faults[0] + more)
    return ", ".join(counted(number, kind.removesuffix("s")) for kind, number in report.found.items())


def _check_warnings(subject: _Subject, split: str) -> str:
    warnings = subject.report(split).warnings
    if warnings:
        more = f" (and {len(warnings) - 1:,} more)" if len(warnings) > 1 else ""
        raise Warned(warnings[0] + more)
    return ""


def _check_determinism(subject: _Subject, split: str) -> str:
    one, two = (read_split(subject.spec, subject.folder, split) for _ in range(2))
    if one.manifest != two.manifest:
        raise Failed("two readings gave different pairs, points or pictures; draw nothing at random")
    return f"manifest {one.manifest[:12]}"
