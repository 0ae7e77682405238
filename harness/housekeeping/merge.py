"""Several results folders as one: every cell of any of them, put together where several have parts of it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from harness.errors import BenchError, UserError
from harness.files import read_whole, replacing
from harness.housekeeping.gaps import describe_other_version, find_gap
from harness.housekeeping.joined_record import join_failed, join_records, makers_of
from harness.housekeeping.parts import Part, read_part
from harness.housekeeping.same_cell import check_identity, check_predictions, check_truth, check_versions
from harness.housekeeping.shards import has_shards
from harness.housekeeping.target import Target, TargetChanged
from harness.messages import OncePerSubject, counted, listed
from harness.plugins.host import Host
from harness.records.folders import (
    FRESH,
    RECORD,
    SHARDS,
    read_record,
    record_paths,
    write_record,
)
from harness.records.predictions import PREDICTIONS, merge_tables, merge_with_truth, write_table
from harness.records.results import nothing_finished
from harness.records.runs import StoredCell
from harness.records.schema import LocalizerInfo, Record
from harness.records.slices import GEOMETRY_AWARE
from harness.records.truth_columns import POINT_SLICE, has_truth
from harness.records.unfinished import unfinished_cells
from harness.scoring.criteria import Criterion, criteria_of, merge_criteria, protocol_name
from harness.scoring.rescore import with_scores
from harness.scoring.sources import Predicted, Sources
from harness.scoring.thresholds import applicable
from harness.scoring.truth import Truth, truth_of
from harness.scoring.truth_columns import add_truth, truth_in

if TYPE_CHECKING:
    import pyarrow as pa

Preference = Literal["first", "newest"]
"""Whose predictions count where several parts of a cell have other ones for the same pair."""


Done = Literal["copied", "merged", "there already"]
"""What became of a cell; `there already`: the merged folder had all of it."""


@dataclass(frozen=True)
class MergeOptions:
    """What is merged, and what is refused.

    Attributes:
        preference: None refuses cells whose parts have other predictions for one pair.
        allow_gaps: whether cells are merged of which shards are missing.
        allow_mixed_versions: whether parts are merged that were computed with other packages.
    """

    preference: Preference | None = None
    allow_gaps: bool = False
    allow_mixed_versions: bool = False


@dataclass(frozen=True)
class MergedCell:
    """What became of a cell.

    Attributes:
        name: of its folder.
        origins: results folders that have it.
        done: `copied`, `merged`, or `there already` with all of it.
        record: its record in the merged folder.
    """

    name: str
    origins: tuple[Path, ...]
    done: Done
    record: Record


@dataclass
class Merged:
    """What became of all cells.

    Attributes:
        cells: those that stand in the merged folder now.
        problems: a line for each cell that could not be merged, in whole or in part.
        notes: a line for each thing that was left out and is no fault.
    """

    cells: list[MergedCell] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def merge_folders(
    host: Host,
    folders: Sequence[Path],
    out: Path,
    sources: Sources,
    options: MergeOptions | None = None,
    progress: Callable[[int, int], None] = lambda done, cells: None,
) -> Merged:
    """Merges results folders into one, cell by cell; the folders stay as they are.

    Each cell is written whole or not at all. Cells that `out` has already take part, so that the same command
    may be given again.

    Args:
        sources: finds the datasets of predictions of early versions, which do not hold the truth.
        progress: called with the number of cells done and of all.

    Raises:
        UserError: a folder is not there, is named twice, or is the one to write to; or none has a cell.
    """
    merged = Merged()
    merged.problems += _check_folders(folders, out)
    by_digest = _find_cells(folders, out)
    for folder in folders:
        merged.notes += _left_out(folder)
    shards = _find_shards([out, *folders] if out.is_dir() else folders)
    merger = _Merger(host, out, sources, options or MergeOptions(), merged, shards)
    for number, (digest, places) in enumerate(by_digest.items()):
        progress(number, len(by_digest))
        try:
            merger.merge_cell(digest, places)
        except BenchError as error:
            merged.problems.append(str(error))
    return merged


def _check_folders(folders: Sequence[Path], out: Path) -> list[str]:
    """Returns a line for each folder without a finished cell: a job may have ended before it had one."""
    homes: dict[Path, Path] = {}
    empty: list[str] = []
    for folder in folders:
        # Raises where the folder is not there.
        if not record_paths(folder):
            empty.append("; ".join(nothing_finished(folder)))
            if (folder / RECORD).exists() or len(empty) == len(folders):
                raise UserError(empty[-1])
        home = folder.resolve()
        if home in homes:
            raise UserError(f"{folder}: is {homes[home]}, which is named already; name each folder once")
        homes[home] = folder
    if out.resolve() in homes:
        raise UserError(f"--out {out}: is one of the folders to merge, which stay as they are; name another")
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out}: is not a folder; name another")
    if (out / RECORD).exists():
        raise UserError(f"--out {out}: is the folder of one cell; name a results folder")
    return empty


def _find_cells(folders: Sequence[Path], out: Path) -> dict[str, list[Path]]:
    """Cells by the hash at the end of their ids: folder of the cell in each results folder that has it.

    The words before the hash say how the user asked for it, and may differ. Cells that the merged folder
    alone has are without a folder here.
    """
    in_out = record_paths(out) if out.is_dir() else []
    by_digest: dict[str, list[Path]] = {path.parent.name.rpartition(".")[2]: [] for path in in_out}
    for folder in folders:
        for path in record_paths(folder):
            by_digest.setdefault(path.parent.name.rpartition(".")[2], []).append(path.parent)
    return by_digest


def _find_shards(folders: Sequence[Path]) -> list[StoredCell]:
    """All cells that were run in shards; damaged records are told when their turn comes."""
    cells: list[StoredCell] = []
    for path in itertools.chain.from_iterable(map(record_paths, folders)):
        try:
            record = read_record(path)
        except UserError:
            continue
        if has_shards(record):
            cells.append(StoredCell(path.parent, record))
    return cells


def _left_out(folder: Path) -> list[str]:
    """Lines on work in a results folder that is not finished, and so is not merged."""
    lines = []
    for cell in unfinished_cells(folder, []):
        lines.append(f"{folder / cell.name}: not finished, {cell.progress}; left out")
    for path in record_paths(folder):
        if any((path.parent / name).exists() for name in (SHARDS, FRESH)):
            lines.append(
                f"{path.parent}: a later run of it has not come to its end; what that has so far is left out"
            )
    return lines


@dataclass(frozen=True, eq=False)
class _Job:
    """A cell that is to be merged.

    Attributes:
        folder: the cell's folder in the merged folder.
        parts: at least one, that of the merged folder first.
        there: that of the merged folder; None where it has none.
    """

    target: Target
    folder: Path
    parts: Sequence[Part]
    there: Part | None

    @property
    def with_numbers(self) -> list[Part]:
        """Parts with predictions."""
        return [part for part in self.parts if part.predictions is not None]

    @property
    def all_failed(self) -> list[Part]:
        """Shards of which every pair failed by itself: what they say of these pairs holds."""
        return [part for part in self.parts if part.predictions is None and part.record.failures]

    @property
    def without_use(self) -> list[Part]:
        """Parts that failed as a whole. Shards without a pair are none of them."""
        used = [*self.with_numbers, *self.all_failed]
        return [part for part in self.parts if part not in used and not has_shards(part.record)]


class _Merger:
    """Merges one cell after another.

    Args:
        shards: all cells of all folders that were run in shards.
    """

    def __init__(
        self,
        host: Host,
        out: Path,
        sources: Sources,
        options: MergeOptions,
        merged: Merged,
        shards: Sequence[StoredCell],
    ) -> None:
        self._host, self._out, self._sources = host, out, sources
        self._options, self._merged, self._shards = options, merged, shards
        self._warn = OncePerSubject(merged.notes.append)

    def merge_cell(self, digest: str, places: Sequence[Path]) -> None:
        """Puts a cell into the merged folder.

        Args:
            digest: the hash at the end of the cell's id.
            places: the cell's folders, without those of the merged folder.

        Raises:
            BenchError: parts cannot be read, do not belong together, are not all there, or cannot be written.
        """
        while True:
            notes, problems = len(self._merged.notes), len(self._merged.problems)
            target = Target(self._out, digest)
            try:
                self._merge_into(target, [*target.places, *places])
            except TargetChanged:
                # Another merge was faster: what it has written takes part.
                del self._merged.notes[notes:], self._merged.problems[problems:]
            else:
                return

    def _merge_into(self, target: Target, places: Sequence[Path]) -> None:
        parts = self._read_parts(places)
        if not parts:
            return
        folder = self._out / parts[0].record.cell.id
        job = _Job(target, folder, parts, there=parts[0] if parts[0].home == self._out else None)
        check_identity(job.with_numbers or parts)
        record, done = self._merge_job(job)
        origins = tuple(part.home for part in parts if part.home != self._out)
        self._merged.cells.append(MergedCell(folder.name, origins, done, record))

    def _merge_job(self, job: _Job) -> tuple[Record, Done]:
        if job.there and len(job.parts) == 1 and job.there.is_whole:
            # Whoever merges other cells is not told again what this one lacks.
            return job.there.record, "there already"
        if job.with_numbers:
            self._note_failed(job.without_use)
            return self._merge_numbers(job)
        return self._merge_failures(job)

    def _merge_numbers(self, job: _Job) -> tuple[Record, Done]:
        """Puts a cell together of which some part has numbers."""
        first = job.with_numbers[0]
        # Copies of one cell have nothing to put together.
        if job.all_failed or any(part.record != first.record for part in job.with_numbers):
            return self._join(job.with_numbers, job)
        self._check_gap(first.record, first.record.localizers, job.parts)
        return self._copy(first, job)

    def _merge_failures(self, job: _Job) -> tuple[Record, Done]:
        """Puts a cell together of which no part has numbers."""
        first = (job.all_failed or job.parts)[0]
        record, localizers = first.record, first.record.localizers
        if job.all_failed:
            record, localizers = join_failed(job.all_failed, job.folder.name)
        self._check_gap(record, localizers, job.parts)
        if all(part.record == first.record for part in job.all_failed):
            return self._copy(first, job)
        if job.there and job.there.record.model_copy(update={"sealed": ""}) == record:
            return job.there.record, "there already"
        with job.target.writing(job.folder, self._warn):
            write_record(job.folder, record)
        return record, "merged"

    def _check_gap(
        self, record: Record, localizers: Mapping[str, LocalizerInfo], parts: Sequence[Part]
    ) -> None:
        """Notes shards that are missing, where the user allows it. Raises `BenchError` otherwise."""
        gap = find_gap(record.counts, localizers, parts)
        if gap is None:
            return
        digest = record.cell.id.rpartition(".")[2]
        others = [cell for cell in self._shards if cell.folder.name.rpartition(".")[2] != digest]
        if other := describe_other_version(record, gap, others):
            raise BenchError(other)
        if not self._options.allow_gaps:
            raise BenchError(f"{record.cell.id}: {gap.text}, or give --allow-gaps")
        self._merged.notes.append(f"{record.cell.id}: {gap.text}")

    def _read_parts(self, places: Sequence[Path]) -> list[Part]:
        """The parts that can be read; of the others, a line each.

        Raises `BenchError` where the merged folder's own cannot.
        """
        parts: list[Part] = []
        for folder in places:
            is_target = folder.parent == self._out
            try:
                parts.append(read_part(folder, self._warn, is_target=is_target))
            except BenchError as error:
                if is_target:
                    raise
                self._merged.problems.append(str(error))
        return parts

    def _note_failed(self, parts: Sequence[Part]) -> None:
        for part in parts:
            if part.home != self._out:
                self._merged.notes.append(f"{part.folder}: {part.record.status} there; left out")

    def _copy(self, part: Part, job: _Job) -> tuple[Record, Done]:
        if part is job.there and part.is_whole:
            return part.record, "there already"
        if job.folder.name != part.folder.name or not part.is_whole:
            # The predictions' seal has the name of the cell's folder.
            return self._join([part], job)
        contents = {RECORD: read_whole(part.folder / RECORD)}
        if part.predictions is not None:
            contents[PREDICTIONS] = read_whole(part.folder / PREDICTIONS)
        with job.target.writing(job.folder, self._warn):
            # The record last: without it a cell counts as none.
            for name in (PREDICTIONS, RECORD):
                if name in contents:
                    with replacing(job.folder / name) as file:
                        file.write(contents[name])
            return read_record(job.folder / RECORD), "copied"

    def _join(self, parts: Sequence[Part], job: _Job) -> tuple[Record, Done]:
        """Puts parts of a cell together, scores all of it and writes it."""
        if self._options.preference is None:
            self._merged.notes += check_predictions(parts)
        elif self._options.preference == "newest":
            parts = sorted(parts, key=lambda part: part.started, reverse=True)
        if not self._options.allow_mixed_versions:
            check_versions(makers_of(parts))
        truths = _Truths(self._sources)
        check_truth(parts, truths.of_part)
        predictions = truths.merge(parts)
        self._merged.notes += _lost_slices(parts, predictions)
        draft = join_records(parts, job.all_failed, predictions, job.folder.name)
        self._check_gap(draft, draft.localizers, job.parts)
        path = job.folder / PREDICTIONS
        truth = truth_in(predictions, path)
        assert truth is not None
        measures = applicable(truth, self._criteria(parts))
        record = with_scores(Predicted(path, predictions, truth), draft, measures)
        there = job.there
        if there and there.is_whole and _is_same(there, record, predictions):
            return there.record, "there already"
        with job.target.writing(job.folder, self._warn):
            sha256 = write_table(path, predictions)
            record = record.model_copy(update={"predictions_sha256": sha256})
            write_record(job.folder, record)
        return record, "merged"

    def _criteria(self, parts: Sequence[Part]) -> tuple[Criterion, ...]:
        """Protocols and alphas of all parts. A protocol that no plugin brings here is told."""
        criteria: tuple[Criterion, ...] = ()
        gone: set[str] = set()
        for part in parts:
            criteria = merge_criteria(criteria, criteria_of(part.record, self._host))
            gone |= {score.protocol for score in part.record.scores}
        gone = {name for name in gone if protocol_name(name) not in self._host.protocols}
        if gone:
            self._merged.problems.append(
                f"{parts[0].record.cell.id}: no plugin here brings protocol {listed(sorted(gone))}, so its "
                "scores are left out; install the plugin and merge again"
            )
        return criteria


class _Truths:
    """The truth of parts: in their files, or in the dataset for files of early versions."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._known: dict[int, Truth] = {}

    def of_part(self, part: Part) -> Truth:
        """The truth of a part's pairs. Raises `BenchError` where it is damaged, or not at hand."""
        if id(part) not in self._known:
            truth = truth_in(part.predictions, part.folder / PREDICTIONS)
            self._known[id(part)] = truth or truth_of(self._sources.split(part.record))
        return self._known[id(part)]

    def merge(self, parts: Sequence[Part]) -> pa.Table:
        """The predictions of all parts with their truth; those of the first part that has a pair count."""
        tables = [part.predictions for part in parts]
        if all(map(has_truth, tables)):
            try:
                return merge_with_truth(tables)
            except ValueError as error:
                raise UserError(f"{parts[0].record.cell.id}: {error}; run the cell again") from error
        whole = next(part for part in parts if not has_truth(part.predictions))
        return add_truth(merge_tables(tables), self.of_part(whole))


def _columns_of(part: Part) -> Sequence[str]:
    return part.predictions.column_names if part.predictions is not None else ()


def _lost_slices(parts: Sequence[Part], merged: pa.Table) -> list[str]:
    """A line where parts say which points are in a slice, and their whole does not, as one part cannot."""
    lacking = [part for part in parts if POINT_SLICE not in _columns_of(part)]
    if POINT_SLICE in merged.column_names or not 0 < len(lacking) < len(parts):
        return []
    (other, *_) = lacking
    return [
        f"{other.folder}: of an earlier version, which does not say which points look alike; the merged cell "
        f"has no slice {GEOMETRY_AWARE} until 'bench rescore' adds it from the dataset"
    ]


def _is_same(there: Part, record: Record, predictions: pa.Table) -> bool:
    """Says whether a cell of the merged folder has all of what would be written: a second merge is none."""
    if there.predictions is None or not there.predictions.equals(predictions, check_metadata=True):
        return False
    ignored: Mapping[str, object] = {"provenance": None, "sealed": "", "predictions_sha256": ""}
    return there.record.model_copy(update=ignored) == record.model_copy(update=ignored)


def coverage_text(record: Record) -> str:
    """`600 of 600 pairs`; the status of a cell without numbers."""
    if record.counts is None or not record.localizers:
        return record.status
    pairs = max(info.pairs for info in record.localizers.values())
    text = f"{pairs:,} of {counted(record.counts.pairs - record.counts.excluded, 'pair')}"
    failed = max(info.failed for info in record.localizers.values())
    return f"{text}, {failed:,} failed" if failed else text
