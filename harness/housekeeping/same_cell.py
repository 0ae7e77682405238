"""Whether parts of one cell belong together: made by one code on the same data, without contradiction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from harness.errors import UserError
from harness.housekeeping.parts import Part
from harness.messages import counted, listed
from harness.records.predictions import KEY_COLUMNS, NUMBER_COLUMNS, fingerprints_of
from harness.records.schema import Record
from harness.scoring.truth import Truth, are_equal

if TYPE_CHECKING:
    import pyarrow as pa


def check_identity(parts: Sequence[Part]) -> None:
    """Checks that parts of one id were made by the same code and weights on the same data.

    An id follows from all of these; a record that was edited, or made by an early version, may differ.

    Raises:
        UserError: in one line what they differ in.
    """
    first = parts[0]
    for part in parts[1:]:
        left, right = _aspects(first.record), _aspects(part.record)
        differing = [
            name for name in left if None not in (left[name], right[name]) and left[name] != right[name]
        ]
        if differing:
            raise UserError(
                f"{first.record.cell.id}: {first.home} and {part.home} differ in {listed(differing)}, so "
                "they are not parts of one cell; run one of them again"
            )
        changed = _changed_localizers(first, part)
        if changed:
            raise UserError(
                f"{first.record.cell.id}: localizer {listed(changed)} was another in {part.home} than in "
                f"{first.home} (its options, code or files); run one of them again"
            )


def _aspects(record: Record) -> dict[str, object]:
    """What determines a cell's numbers, by the name that a user has for it; None where it is not known."""
    cell, provenance = record.cell, record.provenance
    plugins = provenance.plugins if provenance else {}
    counts = record.counts
    # The files of a localizer are part of its own identity, and a part may lack the localizer.
    sources = provenance.weights.items() if provenance else ()
    names = {f"files of {name}" for name in record.localizers}
    return {
        "method": (cell.method, cell.extractor, cell.prompt),
        "parameters": cell.params,
        "dataset": (cell.dataset, cell.split),
        "seed": cell.seed,
        "input size": cell.fed,
        "data (manifest)": provenance.manifest if provenance else None,
        "weights": {name: files for name, files in sources if name not in names} if provenance else None,
        "precision": provenance.precision if provenance else None,
        "plugin code": plugins.get("extractor"),
        "prompt code": plugins.get("prompt"),
        "harness code": plugins.get("harness"),
        "number of pairs": (counts.pairs, counts.excluded, counts.absent_points) if counts else None,
    }


def _changed_localizers(left: Part, right: Part) -> list[str]:
    """Localizers that both parts have predictions of, and that are not the same in both."""
    if left.predictions is None or right.predictions is None:
        return []
    ours, theirs = fingerprints_of(left.predictions), fingerprints_of(right.predictions)
    return sorted(name for name in ours.keys() & theirs.keys() if ours[name] != theirs[name])


def check_predictions(parts: Sequence[Part]) -> None:
    """Checks that parts have the same predictions of what several of them have predicted.

    Raises:
        UserError: in one line how many pairs differ, and by how many pixels at most.
    """
    for left, right in combinations(parts, 2):
        assert left.predictions is not None
        assert right.predictions is not None
        pairs, distance, first = _difference(left.predictions, right.predictions)
        if pairs:
            raise UserError(
                f"{left.record.cell.id}: {left.home} and {right.home} predict other points for "
                f"{counted(pairs, 'pair')} that both have, up to {distance:.3g} pixels apart (the first: "
                f"{first}); --prefer newest or --prefer first takes one of them"
            )


def _difference(left: pa.Table, right: pa.Table) -> tuple[int, float, str]:
    """Number of pairs of which two tables have other predictions, the largest distance, and the first."""
    import pyarrow as pa

    columns = [*KEY_COLUMNS, *NUMBER_COLUMNS]
    tables = [table.select(columns).replace_schema_metadata(None) for table in (left, right)]
    aggregates = [(name, how) for name in NUMBER_COLUMNS for how in ("min", "max")]
    rows = pa.concat_tables(tables).group_by(list(KEY_COLUMNS)).aggregate(aggregates)
    spans = {name: rows[f"{name}_max"].to_numpy() - rows[f"{name}_min"].to_numpy() for name in NUMBER_COLUMNS}
    is_other = np.any([span != 0 for span in spans.values()], axis=0)
    if not is_other.any():
        return 0, 0.0, ""
    pair_ids = sorted(set(rows["pair_id"].filter(pa.array(is_other)).to_pylist()))
    return len(pair_ids), float(np.hypot(spans["x"], spans["y"]).max()), pair_ids[0]


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
