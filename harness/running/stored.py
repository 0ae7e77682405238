"""What a cell's folder holds already: sound predictions, and a line for each file or pair that is not.

A run never stops at damaged predictions: it leaves them out, says so, and computes them again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import UserError
from harness.messages import counted
from harness.records.predictions import PREDICTIONS, read_to_resume, without_pairs
from harness.running.resolve import ResolvedCell
from harness.scoring.points import foreign_pairs
from harness.scoring.truth import truth_of

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, eq=False)
class Stored:
    """The predictions in a cell's folder.

    Attributes:
        tables: sound rows of each file, without those of localizers that have changed since.
        damage: file -> what is wrong with it, or with some of its rows.
        is_one_file: whether the cell's file of predictions has all of them and nothing else.
    """

    tables: tuple[pa.Table, ...]
    damage: Mapping[Path, str]
    is_one_file: bool


def read_stored(resolved: ResolvedCell, sha256: str) -> Stored:
    """Reads what earlier runs of a cell have left.

    Args:
        sha256: of the file of predictions, as the cell's record has it; empty where there is none.
    """
    shards = sorted(resolved.shards.glob("*.parquet"))
    path = resolved.folder / PREDICTIONS
    # Those of a cell that is computed anew stay where they are until the new ones are there.
    files = shards if resolved.options.fresh else [path, *shards]
    tables: list[pa.Table] = []
    damage: dict[Path, str] = {}
    are_final = True
    for file in files:
        if not file.exists():
            if sha256 and file == path:
                damage[file] = "is not there, and the record beside it speaks of it"
            continue
        try:
            table, problem, is_final = _read_sound(resolved, file, sha256 if file == path else "")
        except UserError as error:
            # Its last part says what a reader should do, which this run is doing.
            reason = str(error).removeprefix(f"{file}: ").rpartition(";")[0]
            damage[file] = reason
            continue
        tables.append(table)
        are_final = are_final and is_final
        if problem:
            damage[file] = problem
    is_one_file = are_final and len(tables) == 1 and not damage and not shards
    return Stored(tuple(tables), damage, is_one_file)


def _read_sound(resolved: ResolvedCell, path: Path, sha256: str) -> tuple[pa.Table, str, bool]:
    """The sound rows of a file of localizers that are the same still, what is wrong with unsound ones, and
    whether the file may stay as it is. Raises `UserError` where the file as a whole is damaged.
    """
    fingerprints = {name: localizer.fingerprint for name, localizer in resolved.localizers.items()}
    table, unsound, is_final = read_to_resume(path, fingerprints, sha256)
    foreign = foreign_pairs(truth_of(resolved.index), without_pairs(table, unsound))
    problems = {**unsound, **foreign}
    if not problems:
        return table, "", is_final
    pair_id, reason = next(iter(problems.items()))
    what = f"pair {pair_id!r}: {reason}"
    if len(problems) > 1:
        what = f"predictions of {counted(len(problems), 'pair')} are damaged (the first, {what})"
    return without_pairs(table, problems), what, False
