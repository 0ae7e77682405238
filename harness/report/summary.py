"""Tables about a results folder: its cells and their status, failed pairs, and the origin of the numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.messages import counted, listed
from harness.records.coverage import coverage_notes
from harness.records.schema import Failure, Provenance, Record, environment_of
from harness.records.unfinished import Unfinished
from harness.report.redact import plain
from harness.tables.names import Names
from harness.tables.table import Table
from harness.tables.text import split_name

MOST_FAILURES = 100
"""Most failed pairs that are listed one by one."""

_CELL_HEADER = (
    "method",
    "prompt",
    "localizer",
    "dataset",
    "status",
    "pairs",
    "keypoints",
    "failed pairs",
    "seconds",
    "note",
)


def overview(records: Sequence[Record], waiting: Sequence[Unfinished]) -> str:
    """The number of cells of each status, and their datasets, in a sentence.

    Args:
        waiting: cells without a record.
    """
    counts: dict[str, int] = {}
    limited = 0
    for record in records:
        counts[record.status] = counts.get(record.status, 0) + 1
        # A cell counts once, even if only some of its localizers have seen all pairs.
        coverages = [record.coverage(localizer) for localizer in record.localizers]
        limited += "limited" in coverages
    phrases = [f"{number} {status}" for status, number in sorted(counts.items())]
    if limited:
        phrases.append(f"{limited} limited to part of the pairs")
    splits = sorted({_split_name(record) for record in records})
    text = f"{counted(len(records), 'cell')} ({', '.join(phrases)}) on {listed(splits)}"
    if waiting:
        text += f"; {counted(len(waiting), 'cell')} not finished"
    return plain(f"{text}.")


def cells_table(records: Sequence[Record], names: Names, waiting: Sequence[Unfinished]) -> Table:
    """A row for each cell and localizer: its status, number of pairs and seconds."""
    rows: list[tuple[str, ...]] = []
    for record in records:
        rows += _cell_rows(record, names)
    for cell in waiting:
        note = f"{cell.progress}: running, or interrupted"
        rows.append((cell.name, "–", "–", "–", "not finished", f"{cell.done:,}", "–", "–", "–", note))
    return Table(
        caption="Every cell (method, prompt, dataset, seed) and localizer. Pairs and keypoints: those with "
        "predictions. Seconds: of the cell's last run.",
        header=_CELL_HEADER,
        rows=tuple(rows),
        names=5,
    )


def _cell_rows(record: Record, names: Names) -> list[tuple[str, ...]]:
    cell = record.cell
    seconds = "–"
    if record.provenance:
        stages = record.provenance.stages.values()
        seconds = f"{sum(stage.seconds for stage in stages):,.1f}"
    # Seed 0 is the default, and not worth a note.
    seed = f"seed {cell.seed}" if cell.seed else ""
    message = record.error.message if record.error else record.reason
    # A cell that failed before its first prediction has no localizers, but is not left out.
    if not record.localizers:
        note = _join_notes(message, seed, *names.reasons_of(record))
        row = (cell.label, cell.prompt, "–", _split_name(record), record.status, "–", "–", "–", seconds, note)
        return [row]
    rows: list[tuple[str, ...]] = []
    for localizer, info in record.localizers.items():
        reasons = names.reasons_of(record, localizer)
        note = _join_notes(*coverage_notes(record, localizer), message, seed, *reasons)
        status = record.coverage(localizer) if record.scores else record.status
        texts = (cell.label, cell.prompt, names.localizer(record, localizer), _split_name(record))
        numbers = (f"{info.pairs:,}", f"{info.keypoints:,}", f"{info.failed:,}")
        rows.append((*texts, status, *numbers, seconds, note))
    return rows


def _join_notes(*notes: str | None) -> str:
    return "; ".join(filter(None, notes))


def _split_name(record: Record) -> str:
    return split_name(record.cell.dataset, record.cell.split)


def failures_table(records: Sequence[Record]) -> Table | None:
    """Pairs that raised, with their message; None where there are none."""
    failures: list[tuple[Record, Failure]] = []
    for record in records:
        for failure in record.failures:
            failures.append((record, failure))
    if not failures:
        return None
    caption = f"Pairs without a prediction, or without a score under one protocol: {len(failures):,}."
    if len(failures) > MOST_FAILURES:
        caption += f" The first {MOST_FAILURES} of {len(failures):,}."
    rows = []
    for record, failure in failures[:MOST_FAILURES]:
        # Without a localizer, it is the features of the pair that failed.
        localizer = failure.localizer or ", ".join(failure.localizers) or "every"
        if failure.protocol:
            localizer += f" under {failure.protocol}"
        rows.append((record.cell.label, _split_name(record), failure.pair_id, localizer, failure.error))
    header = ("method", "dataset", "pair", "localizer", "message")
    return Table(caption=caption, header=header, rows=tuple(rows), names=4)


def environments_table(records: Sequence[Record]) -> Table | None:
    """Versions, commit and hardware, one row for each that differs; None where no record has them."""
    labels: dict[tuple[str, ...], list[str]] = {}
    for record in records:
        if record.provenance:
            labels.setdefault(_environment(record.provenance), []).append(record.cell.label)
    if not labels:
        return None
    rows = []
    for environment, environment_labels in labels.items():
        # Cells of one method that differ in their dataset have the same label.
        methods = ", ".join(dict.fromkeys(environment_labels))
        rows.append((methods, *environment))
    return Table(
        caption="Versions, source and hardware of the cells' last runs.",
        header=("cells of", "commit", "versions", "hardware", "precision", "note"),
        rows=tuple(rows),
        names=5,
    )


def _environment(provenance: Provenance) -> tuple[str, ...]:
    """Commit, versions, hardware, precision, and a note where earlier runs differed in them."""
    # An installed package has no git checkout that would name its commit.
    commit = provenance.commit or "not known"
    if provenance.commit and provenance.dirty:
        commit += " (changed since)"
    hardware = f"{_words(provenance.hardware)}; device {provenance.device}"
    return commit, _words(provenance.versions), hardware, provenance.precision, _mixture(provenance)


def _mixture(provenance: Provenance) -> str:
    """What earlier runs computed on other machines, devices or versions; empty where they did not."""
    here = environment_of(provenance)
    others = [run for run in provenance.earlier_runs if environment_of(run) != here]
    if not others:
        return ""
    pairs = counted(sum(run.computed_pairs for run in others), "pair")
    devices = listed(sorted({f"{_words(run.hardware)}; device {run.device}" for run in others}))
    return f"mixed: features of {pairs} were computed by earlier runs in another environment ({devices})"


def _words(values: Mapping[str, str]) -> str:
    """`python 3.11, torch 2.4`."""
    return ", ".join(f"{name} {value}" for name, value in values.items())


def weights_table(records: Sequence[Record]) -> Table | None:
    """Every weight file with its hash, and the methods that used it; None where there are none."""
    # Labels as keys: each once, in order.
    users: dict[tuple[str, str, str, str], dict[str, None]] = {}
    for record in records:
        if record.provenance is None:
            continue
        for source, files in record.provenance.weights.items():
            origin = record.provenance.weight_origins.get(source, "")
            for name, digest in files.items():
                users.setdefault((source, name, digest, origin), {})[record.cell.label] = None
    if not users:
        return None
    rows = []
    for source, name, digest, origin in sorted(users):
        methods = ", ".join(users[source, name, digest, origin])
        rows.append((source, name, digest, methods, origin))
    return Table(
        caption="Weight files and their sha256.",
        header=("source", "file", "sha256", "used by", "from"),
        rows=tuple(rows),
        names=4,
    )


def data_table(records: Sequence[Record]) -> Table | None:
    """Each dataset split with the hash of its content; None where no record has one."""
    # By manifest, too: cells may have run on different data of one name.
    counts_of = {}
    for record in records:
        if record.provenance and record.counts:
            cell = record.cell
            counts_of[cell.dataset, cell.split, record.provenance.manifest] = record.counts
    if not counts_of:
        return None
    rows = []
    for key in sorted(counts_of):
        counts = counts_of[key]
        rows.append((*key, f"{counts.pairs:,}", f"{counts.excluded:,}", ""))
    return Table(
        caption="Data: the manifest is a sha256 over pairs, points, boxes and pictures. "
        "Excluded: pairs without a point in both images.",
        header=("dataset", "split", "manifest", "pairs", "excluded", "note"),
        rows=tuple(rows),
        names=3,
    )
