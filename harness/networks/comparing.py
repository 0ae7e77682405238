"""The tensors of a file and those of a network, compared by name."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TypeVar

from harness.errors import UserError
from harness.messages import counted

_T = TypeVar("_T")

PREFIXES = (
    "module.",
    "_orig_mod.",
    "state_dict.",
    "model.",
    "network.",
    "net.",
    "teacher.",
    "backbone.",
    "encoder.",
    "text_model.",
    "vision_model.",
)
"""What wrappers put before the names of a network's tensors: data-parallel training, `torch.compile`,
training frameworks, larger networks."""

HARMLESS = ("*position_ids", "*num_batches_tracked")
"""Tensors without learned numbers: they may be missing, and may be there, in every network."""

AGAIN = "copy or fetch it again"


def strip_prefixes(tensors: Mapping[str, _T], harmless: Collection[str] = ()) -> Iterator[dict[str, _T]]:
    """Yields the tensors under other names: without the prefixes that occur in the wild, one more each time.

    A prefix is taken off where all names have it, but for those of `harmless` tensors, which are left out.

    Args:
        harmless: patterns of tensors that the network does not need.
    """
    names = {name: name for name in tensors}
    for _ in range(len(PREFIXES)):
        needed = [name for name in names if not _matches(name, (*HARMLESS, *harmless))]
        prefix = next((prefix for prefix in PREFIXES if needed and _all_start(needed, prefix)), None)
        if prefix is None:
            return
        names = {name.removeprefix(prefix): names[name] for name in names if name.startswith(prefix)}
        yield {name: tensors[original] for name, original in names.items()}


def check_names(
    subject: str,
    expected: Mapping[str, Sequence[int]],
    actual: Mapping[str, Sequence[int]],
    harmless: Collection[str] = (),
    advice: str = AGAIN,
) -> None:
    """Compares two sets of tensors: name -> shape.

    Args:
        subject: the file, for the message.
        harmless: patterns of names, besides `HARMLESS`, that either side may have alone.

    Raises:
        UserError: a tensor is missing, of another shape, or not the network's.
    """
    common = expected.keys() & actual.keys()
    needed = [name for name in expected if not _matches(name, (*HARMLESS, *harmless))]
    report_differences(
        subject,
        total=len(needed),
        missing=expected.keys() - common,
        unexpected=actual.keys() - common,
        misshapen={name: (actual[name], expected[name]) for name in sorted(common)},
        harmless=harmless,
        advice=advice,
    )


def report_differences(
    subject: str,
    total: int,
    missing: Collection[str],
    unexpected: Collection[str],
    misshapen: Mapping[str, tuple[Sequence[int], Sequence[int]]],
    harmless: Collection[str] = (),
    advice: str = AGAIN,
) -> None:
    """Reports the differences of two sets of tensors, however they were found.

    Args:
        total: number of tensors of the network.
        misshapen: name -> shape in the file, shape in the network.

    Raises:
        UserError: there is a difference; all kinds of differences in one line.
    """
    patterns = (*HARMLESS, *harmless)
    problems = []
    absent = sorted(name for name in missing if not _matches(name, patterns))
    foreign = sorted(name for name in unexpected if not _matches(name, patterns))
    if foreign and len(absent) == total:
        # Another network, or the same one in a wrapper that is not known here.
        raise UserError(
            f"{subject}: all of its {counted(total, 'tensor')} are missing, {absent[0]} among them; it holds "
            f"{counted(len(foreign), 'tensor')} of other names, {_example(foreign)}; "
            "give them the network's names"
        )
    if absent:
        number = f"{len(absent)} of its {counted(total, 'tensor')}"
        problems.append(f"{number} {_are(absent)} missing, {_example(absent)}")
    if foreign:
        problems.append(
            f"{counted(len(foreign), 'tensor')} {_are(foreign)} not of the network that its configuration "
            f"describes, {_example(foreign)}"
        )
    for name, (actual, wanted) in misshapen.items():
        if tuple(actual) != tuple(wanted):
            problems.append(
                f"{name} has the shape {tuple(actual)}, its configuration asks for {tuple(wanted)}"
            )
            break
    if problems:
        raise UserError(f"{subject}: {'; '.join(problems)}; {advice}")


def _matches(name: str, patterns: Collection[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _all_start(names: Collection[str], prefix: str) -> bool:
    return all(name.startswith(prefix) for name in names)


def _are(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _example(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} among them"
