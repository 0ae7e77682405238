"""Captions of tables: what was measured, under which protocol, and how far it can be trusted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import get_args

from harness.records.schema import Provenance, Record, Score
from harness.scoring.criteria import protocol_name
from harness.scoring.protocols import BUILTIN
from harness.specs import Threshold
from harness.tables.columns import Column
from harness.tables.intervals import interval_sentences
from harness.tables.row import Row
from harness.tables.row_notes import dataset_title
from harness.tables.text import NOTHING, averaging_text, split_name
from harness.tables.view import View

MARKS = (
    "Bold: best of its supervision group (Z zero-shot, I image-level labels or pairs, K keypoints); "
    "underlined: second."
)


MARKED_APART = "Their best and second are marked among themselves."

PAIRS_ORDER = "Pairs and seconds in the order of the datasets."


def numbers_caption(records: Sequence[Record], view: View, scores: Iterable[tuple[Column, Score]]) -> str:
    """Sentences on a table's numbers: unit, protocol and averaging; what alpha multiplies; intervals.

    Args:
        scores: the numbers that are printed with their intervals.
    """
    protocol = view.protocol
    frame = ""
    # The stretched frame has the size that an extractor was fed, and extractors differ in it.
    if _frame_of(records, protocol) == "stretched":
        frame = f" in the frame each extractor was fed{_sizes_text(records)}"
    sentences = [
        f"PCK in percent at alpha, protocol {protocol}{frame}, mean {averaging_text(view.averaging)}."
    ]
    if sentence := _threshold_sentence(records, protocol):
        sentences.append(sentence)
    scores_of: dict[str, list[Score]] = {}
    for column, score in scores:
        scores_of.setdefault(split_name(column.dataset, column.split), []).append(score)
    return " ".join([*sentences, *interval_sentences(scores_of)])


def row_scores(rows: Iterable[Row], columns: Sequence[Column]) -> Iterator[tuple[Column, Score]]:
    """The measured numbers of rows in some columns."""
    for row in rows:
        yield from row.scores(columns)


def _sizes_text(records: Sequence[Record]) -> str:
    """` (512 x 512)`: sizes of images that extractors were fed; empty where no record says them."""
    sizes = set()
    for record in records:
        if record.scores and record.cell.fed:
            sizes.add(record.cell.fed)
    if not sizes:
        return ""
    texts = [f"{width} x {height}" for width, height in sorted(sizes)]
    return f" ({', '.join(texts)})"


def _frame_of(records: Sequence[Record], protocol: str) -> str | None:
    """The protocol's frame; None where no record says it and the protocol is not built in."""
    for record in records:
        if protocol in record.frames:
            return record.frames[protocol]
    # Records of earlier versions do not say the frame.
    frames = {builtin.name: builtin.frame for builtin in BUILTIN}
    return frames.get(protocol_name(protocol))


def _threshold_sentence(records: Sequence[Record], protocol: str) -> str:
    """What alpha multiplies on each dataset, or on all by the protocol's choice; empty where none says it.

    `Alpha multiplies the target's size (pf-pascal: image; ap-10k, spair-71k: box).`
    """
    datasets: dict[str, set[str]] = {}
    for record in records:
        if protocol in record.thresholds:
            kind = record.thresholds[protocol]
            datasets.setdefault(kind, set()).add(dataset_title(record))
    # A protocol's own length, in words, is the same on all datasets.
    if len(datasets) == 1 and not datasets.keys() & {*get_args(Threshold)}:
        return f"Alpha multiplies {next(iter(datasets))}."
    texts = []
    for kind, names in sorted(datasets.items()):
        texts.append(f"{', '.join(sorted(names))}: {kind}")
    return f"Alpha multiplies the target's size ({'; '.join(texts)})." if texts else ""


def trust_sentences(records: Sequence[Record], rows: Sequence[Row]) -> list[str]:
    """Sentences on bold and underlined numbers, and on the columns of pairs and seconds of these rows."""
    sentences = [MARKS]
    if any(len(row.pairs) > 1 for row in rows):
        sentences.append(PAIRS_ORDER)
    return [*sentences, *seconds_sentences(records, rows)]


def seconds_sentences(records: Sequence[Record], rows: Sequence[Row]) -> list[str]:
    """A sentence on the column of seconds, where it has any."""
    if not any(row.seconds for row in rows):
        return []
    processors = set()
    for record in records:
        if record.provenance:
            processors.add(_processor(record.provenance))
    return [f"s/pair: features and points, on {', '.join(sorted(processors))}."]


def _processor(provenance: Provenance) -> str:
    hardware = provenance.hardware
    return hardware.get("gpu") or hardware.get("processor") or "hardware that is not recorded"


def reported_sentences(rows: Sequence[Row], view: View) -> list[str]:
    """`reported_caption` of a table's rows; nothing where the view shows no reported numbers."""
    if not view.reported:
        return []
    has_claims = any(row.claims for row in rows)
    has_rows = any(row.is_reported for row in rows)
    is_marked = not view.ranks_reported
    return [reported_caption(has_claims=has_claims, has_rows=has_rows, is_marked=is_marked)]


def reported_caption(*, has_claims: bool, has_rows: bool, is_marked: bool) -> str:
    """Sentences on reported rows and on the numbers in brackets.

    Args:
        has_claims: whether there are numbers in brackets.
        has_rows: whether there are reported rows.
        is_marked: whether the best and second of these are marked among themselves.
    """
    sentences = []
    if has_rows:
        sentences.append("Rows called reported are what papers printed; nobody measured them here.")
        if is_marked:
            sentences.append(MARKED_APART)
    elif not has_claims:
        sentences.append("No paper that is known here printed such numbers.")
    if has_claims:
        sentences.append("In brackets: measured less reported, in points.")
    return " ".join(sentences)


def pairs_text(row: Row) -> str:
    """`900`, or `299 / 900` on several datasets."""
    counts = [str(row.pairs[split]) for split in sorted(row.pairs)]
    return " / ".join(counts) or NOTHING


def text_or_dash(text: str) -> str:
    """The text, or an en dash."""
    return text or NOTHING
