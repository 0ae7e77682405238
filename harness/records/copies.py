"""Two copies of one cell, from two results folders: do they have the same predictions?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from harness.errors import UserError
from harness.messages import counted, listed
from harness.records.predictions import KEY_COLUMNS, PREDICTIONS, fingerprints_of, read_predictions
from harness.records.runs import StoredCell
from harness.records.schema import Score

if TYPE_CHECKING:
    import pyarrow as pa

ROUNDING = 0.01
"""Pixels by which points of one cell may differ from machine to machine, by floating-point rounding."""

_SAME_SCORE = 1e-6
"""Percent by which two scores of the same predictions may differ."""

Kind = Literal["same", "fewer", "more", "both", "different", "unknown"]


@dataclass(frozen=True)
class Kinship:
    """How a second copy of a cell stands to a first.

    Attributes:
        kind: `same` predictions; the second has `fewer` of the first's, or all of them and `more`; `both`
            have some that the other lacks, and agree where they meet; `different` where they do not agree;
            `unknown` where files that are missing or damaged leave it open.
        reason: of the last two, in words that follow the names of both folders.
        is_rounding: whether all that differs does so by no more than rounding, `ROUNDING` pixels.
    """

    kind: Kind
    reason: str = ""
    is_rounding: bool = False


def kinship(first: StoredCell, second: StoredCell) -> Kinship:
    """Compares two copies of a cell; predictions are read where the records leave it open."""
    has_first, has_second = bool(first.record.scores), bool(second.record.scores)
    if not (has_first and has_second):
        # A cell that failed, or is not applicable, has no predictions to contradict the other's.
        return Kinship("fewer" if has_first else "more" if has_second else "same")
    if reason := _options_reason(first, second):
        return Kinship("different", reason)
    sha256 = first.record.predictions_sha256
    if sha256 and sha256 == second.record.predictions_sha256:
        return _same_unless_scores_differ(first, second)
    tables = []
    for cell in (first, second):
        try:
            path = cell.folder / PREDICTIONS
            tables.append(read_predictions(path, sha256=cell.record.predictions_sha256))
        except UserError as error:
            return Kinship("unknown", f"cannot be compared: {error}")
    found = compare_tables(*tables)
    return _same_unless_scores_differ(first, second) if found.kind == "same" else found


def _options_reason(first: StoredCell, second: StoredCell) -> str:
    """Words on localizers that have other options in the second copy; empty where there are none."""
    localizers = first.record.localizers
    names = []
    for name, info in second.record.localizers.items():
        if name in localizers and localizers[name].options != info.options:
            names.append(name)
    return f"have other options of {listed(sorted(names))}" if names else ""


def _same_unless_scores_differ(first: StoredCell, second: StoredCell) -> Kinship:
    """`same`, unless a number that both records have differs, as those of two versions of a protocol do."""
    others = second.record.measures
    for protocol, measure in first.record.measures.items():
        if others.get(protocol, measure) != measure:
            # At alphas that one of them lacks, no two numbers show it.
            return Kinship(
                "different",
                f"have scores of two versions of protocol {protocol}; 'bench rescore' makes them anew",
            )
    known = {score_key(score): score.pck for score in first.record.scores}
    for score in second.record.scores:
        pck = known.get(score_key(score), score.pck)
        if abs(pck - score.pck) > _SAME_SCORE:
            return Kinship(
                "different",
                f"have the same predictions and other scores of protocol {score.protocol}; "
                "'bench rescore' makes them anew",
            )
    return Kinship("same")


def score_key(score: Score) -> tuple[object, ...]:
    """What sets the numbers of a record apart."""
    names = ("localizer", "protocol", "averaging", "alpha", "slice")
    return tuple(getattr(score, name) for name in names)


def compare_tables(first: pa.Table, second: pa.Table) -> Kinship:
    """Compares the predictions of two copies of a cell."""
    import numpy as np

    own, other = fingerprints_of(first), fingerprints_of(second)
    changed = sorted(name for name in own.keys() & other.keys() if own[name] != other[name])
    if changed:
        return Kinship("different", f"have predictions of other versions of {listed(changed)}")
    columns = [*KEY_COLUMNS, "x", "y", "score"]
    shared = first.select(columns).join(
        second.select(columns), list(KEY_COLUMNS), join_type="inner", right_suffix="_second"
    )
    apart = np.zeros(shared.num_rows)
    is_different = np.zeros(shared.num_rows, dtype=bool)
    for name in ("x", "y", "score"):
        values, others = shared[name].to_numpy(), shared[f"{name}_second"].to_numpy()
        is_different |= values != others
        if name != "score":
            apart = np.maximum(apart, np.abs(values - others))
    if is_different.any():
        points = counted(shared.num_rows, "point")
        reason = f"differ in {int(is_different.sum()):,} of {points}, by up to {apart.max():.3g} px"
        return Kinship("different", reason, is_rounding=bool(apart.max() <= ROUNDING))
    has_more_first = shared.num_rows < first.num_rows
    has_more_second = shared.num_rows < second.num_rows
    if has_more_first and has_more_second:
        return Kinship("both")
    if has_more_first or has_more_second:
        return Kinship("fewer" if has_more_first else "more")
    return Kinship("same")
