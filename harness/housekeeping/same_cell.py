"""Whether parts of one cell belong together: made by one code on the same data, without contradiction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations

from harness.errors import UserError
from harness.housekeeping.parts import Part
from harness.messages import listed
from harness.records.copies import compare_tables
from harness.records.predictions import fingerprints_of
from harness.records.schema import Record
from harness.scoring.truth import Truth, are_equal

_SHORT = 60
"""Most characters of two values that a message has room for."""


def check_identity(parts: Sequence[Part]) -> None:
    """Checks that parts of one id were made by the same code and weights on the same data.

    An id follows from all of these; a record that was edited, or made by an early version, may differ.

    Raises:
        UserError: in one line what they differ in.
    """
    first = parts[0]
    for part in parts[1:]:
        left, right = _aspects(first.record), _aspects(part.record)
        known = [name for name in left if None not in (left[name], right[name])]
        differing = [name for name in known if left[name] != right[name]]
        if differing:
            raise UserError(
                f"{first.record.cell.id}: {first.home} and {part.home} differ in {listed(differing)}, so "
                "they are not parts of one cell; run one of them again"
            )
        changed = _changed_localizers(first, part)
        if changed:
            # Whatever is preferred: pairs of two versions must not stand under one name.
            raise UserError(
                f"{first.record.cell.id}: {first.home} and {part.home} have predictions of other versions of "
                f"{listed(changed)} (options, code or files); run one of them again"
            )


def describe_difference(left: Record, right: Record) -> str:
    """What two cells that should be one differ in: `precision (fp32 and bf16)`, `plugin code and weights`."""
    ours, theirs = _aspects(left), _aspects(right)
    texts: list[str] = []
    for name, value in ours.items():
        if None not in (value, theirs[name]) and value != theirs[name]:
            is_short = len(f"{value}{theirs[name]}") <= _SHORT
            texts.append(f"{name} ({value} and {theirs[name]})" if is_short else name)
    return listed(texts) or "versions"


def check_versions(parts: Sequence[Part]) -> None:
    """Checks that parts were computed with the same packages.

    Raises:
        UserError: in one line, the packages and both versions of each.
    """
    first = parts[0]
    for part in parts[1:]:
        if not (first.record.provenance and part.record.provenance):
            continue
        ours, theirs = first.record.provenance.versions, part.record.provenance.versions
        texts: list[str] = []
        for name in sorted(ours.keys() | theirs.keys()):
            own, other = ours.get(name, "none"), theirs.get(name, "none")
            if own != other:
                texts.append(f"{name} ({own} and {other})")
        if texts:
            raise UserError(
                f"{first.record.cell.id}: {first.home} and {part.home} were run with other versions of "
                f"{listed(texts)}; run one of them again, or give --allow-mixed-versions"
            )


def _changed_localizers(left: Part, right: Part) -> list[str]:
    """Localizers that both parts have predictions of, and that are not the same in both."""
    if left.predictions is None or right.predictions is None:
        return []
    ours, theirs = fingerprints_of(left.predictions), fingerprints_of(right.predictions)
    return sorted(name for name in ours.keys() & theirs.keys() if ours[name] != theirs[name])


def _aspects(record: Record) -> dict[str, object]:
    """What determines a cell's numbers, by the name that a user has for it; None where it is not known."""
    cell, provenance = record.cell, record.provenance
    plugins = provenance.plugins if provenance else {}
    counts = record.counts
    # The files of a localizer are part of its own identity, and a part may lack the localizer.
    sources = provenance.weights.items() if provenance else ()
    names = {f"files of {name}" for name in record.localizers}
    return {
        "method": (cell.method, cell.extractor, cell.prompt, cell.matcher),
        "parameters": cell.params,
        "dataset": (cell.dataset, cell.split),
        "seed": cell.seed,
        "input size": cell.fed,
        "data (manifest)": provenance.manifest if provenance else None,
        "weights": {name: files for name, files in sources if name not in names} if provenance else None,
        "precision": provenance.precision if provenance else None,
        "plugin code": plugins.get("extractor"),
        "prompt code": plugins.get("prompt"),
        "matcher code": plugins.get("matcher"),
        "harness code": plugins.get("harness"),
        "number of pairs": (counts.pairs, counts.excluded, counts.absent_points) if counts else None,
    }


def check_predictions(parts: Sequence[Part]) -> list[str]:
    """Checks that parts have the same predictions of what several of them have predicted.

    Returns:
        A line for each two that differ by no more than floating-point rounding, as two machines may.

    Raises:
        UserError: in one line, what two of them differ in.
    """
    notes = []
    for left, right in combinations(parts, 2):
        kinship = compare_tables(left.predictions, right.predictions)
        line = f"{left.record.cell.id}: {left.home} and {right.home} {kinship.reason}"
        if kinship.is_rounding:
            notes.append(f"{line}, which is rounding; the points of {left.home} count")
        elif kinship.kind == "different":
            raise UserError(f"{line}; --prefer newest or --prefer first takes those of one of them")
    return notes


def check_truth(parts: Sequence[Part], truth_of_part: Callable[[Part], Truth]) -> None:
    """Checks that parts say the same of the pairs that several of them have.

    Raises:
        UserError: they do not, so that one of them is damaged.
    """
    for left, right in combinations(parts, 2):
        ours, theirs = truth_of_part(left), truth_of_part(right)
        shared = sorted(ours.number_of.keys() & theirs.number_of.keys())
        if not are_equal(ours, theirs, shared):
            raise UserError(
                f"{left.record.cell.id}: {left.home} and {right.home} have other true points of one pair; "
                "run the cell again in one of them"
            )
