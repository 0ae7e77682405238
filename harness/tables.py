"""From records to rows to tables: one row object, one table object, five formats."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from harness.errors import UserError
from harness.records import Record, Score

TIDY_KEYS = (
    *("method", "prompt", "localizer", "dataset", "split", "protocol", "averaging", "alpha", "slice"),
    *("pck", "low", "high", "pairs", "keypoints", "failed", "backbone", "status", "source"),
)
"""Columns of the CSV and JSON leaderboards."""

RANKING_ALPHA = 0.10
"""The field's headline threshold."""

Format = Literal["md", "csv", "tex", "html", "json"]
FORMATS: tuple[Format, ...] = ("md", "csv", "tex", "html", "json")

Row = dict[str, object]


# -------------------------------------------------------------------------------------------------------------------- rows


def labelled(records: Sequence[Record]) -> tuple[list[Record], dict[str, str]]:
    """Records whose methods have names that tell them apart, and what sets the renamed ones apart.

    Two cells of one method, prompt, backbone and split differ in something that tables have no column for: the data behind a dataset's
    name, the precision, the plugin's code. The best founded one (complete, then without failures) keeps the name.

    Returns:
        the records, and cell id -> what differs.
    """
    groups: dict[tuple[str, ...], list[Record]] = {}
    for record in records:
        cell = record.cell
        groups.setdefault((cell.label, cell.prompt, cell.backbone, cell.dataset, cell.split), []).append(record)
    renamed: dict[str, str] = {}
    differs: dict[str, str] = {}
    for group in groups.values():
        first, *others = sorted(group, key=lambda one: (not one.scores, bool(one.failures), _is_limited(one), one.cell.id))
        for other in others:
            renamed[other.cell.id] = f"{other.cell.label} ({other.cell.id.rpartition('.')[2][:6]})"
            differs[other.cell.id] = _difference(first, other)
    found = [
        one.model_copy(update={"cell": one.cell.model_copy(update={"label": renamed[one.cell.id]})}) if one.cell.id in renamed else one
        for one in records
    ]
    return found, differs


def _is_limited(record: Record) -> bool:
    return any(record.coverage(name) == "limited" for name in record.localizers)


def _difference(first: Record, other: Record) -> str:
    """What sets a cell apart from another of the same name."""
    names = [name for name, value in _aspects(first).items() if value != _aspects(other)[name]]
    return f"other {', '.join(names)} than {first.cell.label}" if names else "another cell of this name"


def _aspects(record: Record) -> dict[str, object]:
    """What cells of one name can differ in, by the name that a user has for it."""
    provenance = record.provenance
    if provenance is None:
        return dict.fromkeys(("data", "precision", "plugin code", "prompt code", "prompt file")) | {"input size": record.cell.fed}
    return {
        "data": provenance.manifest,
        "precision": provenance.precision,
        "plugin code": provenance.plugins.get("extractor"),
        "prompt code": provenance.plugins.get("prompt"),
        "prompt file": provenance.weights.get("prompt file"),
        "input size": record.cell.fed,
    }


def tidy(records: Iterable[Record], localizers: Sequence[str] | None = None) -> list[Row]:
    """One row per method, prompt, localizer, dataset, split, protocol, averaging, alpha and slice, sorted.

    A cell without numbers has one row, with an empty protocol and null numbers.

    Args:
        localizers: keep only these.
    """
    rows = [row for record in records for row in _rows(record) if localizers is None or row["localizer"] in ("", *localizers)]
    return sorted(rows, key=lambda row: tuple("" if row[key] is None else str(row[key]) for key in TIDY_KEYS))


def _rows(record: Record) -> Iterable[Row]:
    if not record.scores:
        yield _row(record, None)
    for score in record.scores:
        yield _row(record, score)


def _row(record: Record, score: Score | None) -> Row:
    localizer = score.localizer if score else ""
    info = record.localizers.get(localizer)
    return {
        "method": record.cell.label,
        "prompt": record.cell.prompt,
        "localizer": localizer,
        "dataset": record.cell.dataset,
        "split": record.cell.split,
        "protocol": score.protocol if score else "",
        "averaging": score.averaging if score else "",
        "alpha": score.alpha if score else None,
        "slice": score.slice if score else "",
        "pck": score.pck if score else None,
        "low": score.low if score else None,
        "high": score.high if score else None,
        "pairs": score.pairs if score else 0,
        "keypoints": score.keypoints if score else 0,
        "failed": info.failed if info else 0,
        "backbone": record.cell.backbone,
        "status": record.coverage(localizer) if score else record.status,
        "source": "measured",
    }


# ------------------------------------------------------------------------------------------------------------------- table


@dataclass(frozen=True)
class Table:
    """A table ready to print.

    Attributes:
        caption: what the numbers are, in a sentence or two.
        header: column titles.
        rows: cells as text.
        tidy: the same and all further numbers, one a row, for machines.
        names: number of columns before those with numbers; behind them is one of notes.
        columns: those of the CSV.
    """

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    tidy: tuple[Row, ...] = field(repr=False, default=())
    names: int = 5
    columns: tuple[str, ...] = TIDY_KEYS

    def render(self, format: Format) -> str:
        """The table as markdown, CSV, LaTeX, HTML or JSON, ending with a line break."""
        if format == "csv":
            return _csv(self.tidy, self.columns)
        if format == "json":
            return json.dumps(list(self.tidy), indent=1, allow_nan=False) + "\n"
        from tabulate import tabulate

        numeric = ["left"] * self.names + ["right"] * (len(self.header) - self.names - 1) + ["left"]
        style = {"md": "pipe", "tex": "latex_booktabs", "html": "html"}[format]
        # In markdown a bar of a name or a message would begin a column.
        header, *rows = [[cell.replace("|", "\\|") if format == "md" else cell for cell in row] for row in (self.header, *self.rows)]
        # Text stays text: tabulate would strip what looks like a number.
        body = tabulate(rows, header, tablefmt=style, colalign=numeric if rows else None, disable_numparse=True)
        if format == "tex":
            return _tex(self.caption, body)
        if format == "html":
            return f"<p>{_html(self.caption)}</p>\n{body}\n"
        return f"{self.caption}\n\n{body}\n"


def leaderboard(
    records: Sequence[Record],
    *,
    protocol: str | None = None,
    averaging: Literal["image", "point"] = "image",
    alphas: Sequence[float] | None = None,
    localizers: Sequence[str] | None = None,
) -> Table:
    """Methods as rows, datasets and alphas as columns.

    Complete rows of the table's protocol are ranked by their mean over datasets at alpha 0.10 (over all alphas where that is not among
    them); limited, failed and foreign-protocol rows follow, marked.

    Args:
        protocol: the table's protocol; None for the one most records have, `sd4match` first.
        alphas: None for all that the records have.
        localizers: keep only these.
    """
    chosen = protocol or main_protocol(records)
    if protocol and records and not any(score.protocol == protocol for record in records for score in record.scores):
        known = sorted({score.protocol for record in records for score in record.scores})
        raise UserError(f"no record has protocol '{protocol}'; they have {', '.join(known) or 'none'}; 'bench rescore' adds one")
    records, differs = labelled(records)
    columns = _columns(records, chosen, averaging, alphas)
    lines = [line for record in records for line in _lines(record, chosen, averaging, localizers, differs.get(record.cell.id))]
    merged = _merged(lines)
    ranked = sorted((line for line in merged if line.ranked(columns)), key=lambda line: (-line.mean(columns), line.key))
    others = sorted((line for line in merged if not line.ranked(columns)), key=lambda line: line.key)
    rows = [line.cells(str(place), columns) for place, line in enumerate(ranked, start=1)] + [line.cells("", columns) for line in others]
    titles = tuple(f"{split_name(dataset, split)} @{alpha_text(alpha)}" for dataset, split, alpha in columns)
    return Table(
        caption=caption_of(records, chosen, averaging),
        header=("#", "method", "prompt", "localizer", "backbone", *titles, "note"),
        rows=tuple(rows),
        tidy=tuple(tidy(records, localizers)),
    )


def check_asked(records: Sequence[Record], alphas: Sequence[float] | None, localizers: Sequence[str] | None) -> None:
    """Raises `UserError` where a threshold or localizer is asked for that no record has: the table would be empty."""
    for kind, asked, known in (
        ("alpha", alphas, {score.alpha for record in records for score in record.scores}),
        ("localizer", localizers, {name for record in records for name in record.localizers}),
    ):
        missing = [one for one in asked or () if one not in known]
        if missing and known:
            raise UserError(f"no record has {kind} {missing[0]}; they have {', '.join(map(str, sorted(known, key=str)))}")


Column = tuple[str, str, float]
"""(dataset, split, alpha)"""


@dataclass(frozen=True)
class _Line:
    """One method's row, before it is text."""

    key: tuple[str, str, str, str]
    values: Mapping[Column, Score]
    notes: tuple[str, ...] = ()

    def ranked(self, columns: Sequence[Column]) -> bool:
        return not self.notes and all(column in self.values for column in columns)

    def mean(self, columns: Sequence[Column]) -> float:
        ruling = [column for column in columns if column[2] == RANKING_ALPHA] or columns
        return sum(self.values[column].pck for column in ruling) / max(len(ruling), 1)

    def cells(self, place: str, columns: Sequence[Column]) -> tuple[str, ...]:
        numbers = (number_text(self.values.get(column)) for column in columns)
        return (place, *self.key, *numbers, "; ".join(self.notes))


def _lines(
    record: Record, protocol: str, averaging: Literal["image", "point"], localizers: Sequence[str] | None, apart: str | None
) -> list[_Line]:
    cell = record.cell
    unlike = [f"{cell.dataset}: {apart}"] if apart else []
    if not record.scores:
        return [_Line((cell.label, cell.prompt, "–", cell.backbone), {}, (f"{cell.dataset}: {why(record)}", *unlike))]
    found = []
    for localizer in sorted({score.localizer for score in record.scores}):
        if localizers is not None and localizer not in localizers:
            continue
        mine = [score for score in record.scores if score.localizer == localizer and score.slice == "all" and score.averaging == averaging]
        protocols = sorted({score.protocol for score in mine})
        used = protocol if protocol in protocols else protocols[0]
        values = {(cell.dataset, cell.split, score.alpha): score for score in mine if score.protocol == used}
        notes = (*notes_of(record, localizer), *unlike, *([] if used == protocol else [f"protocol {used}"]))
        found.append(_Line((cell.label, cell.prompt, localizer, cell.backbone), values, notes))
    return found


def split_name(dataset: str, split: str) -> str:
    """`birds` for its test split, `birds/val` for another."""
    return dataset if split == "test" else f"{dataset}/{split}"


def one_alpha(records: Sequence[Record], asked: float | None) -> float:
    """The threshold of a table at one: the one asked for; else 0.10 or, where the records lack it, their smallest."""
    if asked is not None:
        return asked
    found = {score.alpha for record in records for score in record.scores}
    return RANKING_ALPHA if RANKING_ALPHA in found or not found else min(found)


def score_of(record: Record, localizer: str, averaging: str, protocol: str, alpha: float) -> Score | None:
    """A record's number over all pairs, if it has that one."""
    wanted = (localizer, "all", averaging, protocol, alpha)
    return next((one for one in record.scores if (one.localizer, one.slice, one.averaging, one.protocol, one.alpha) == wanted), None)


def why(record: Record) -> str:
    """A record's status, with the reason where there is one: what stands in the place of its numbers."""
    reason = record.error.message if record.error else record.reason
    return f"{record.status}: {reason}" if reason else record.status


def notes_of(record: Record, localizer: str) -> list[str]:
    """Why a row of this record is not ranked."""
    info, counts = record.localizers[localizer], record.counts
    notes = []
    if counts and record.coverage(localizer) == "limited":
        notes.append(f"{record.cell.dataset}: limited to {info.pairs + info.failed} of {counts.pairs - counts.excluded} pairs")
    if info.failed:
        notes.append(f"{record.cell.dataset}: {info.failed} {'pair' if info.failed == 1 else 'pairs'} failed")
    return notes


def _merged(lines: Iterable[_Line]) -> list[_Line]:
    """Lines of the same method on several datasets as one."""
    merged: dict[tuple[str, ...], _Line] = {}
    for line in lines:
        same = merged.get(line.key)
        if same is None:
            merged[line.key] = line
        else:
            merged[line.key] = _Line(line.key, {**same.values, **line.values}, same.notes + line.notes)
    return list(merged.values())


def _columns(records: Sequence[Record], protocol: str, averaging: str, alphas: Sequence[float] | None) -> list[Column]:
    found: set[Column] = set()
    for record in records:
        protocols = {score.protocol for score in record.scores}
        for score in record.scores:
            if (score.slice == "all" and score.averaging == averaging and score.protocol == protocol) or protocol not in protocols:
                found.add((record.cell.dataset, record.cell.split, score.alpha))
    return sorted(column for column in found if alphas is None or column[2] in alphas)


def main_protocol(records: Sequence[Record]) -> str:
    """The protocol that a table is of where none was asked for: `sd4match`, or the one that most records have."""
    counts: dict[str, int] = {}
    for record in records:
        for name in {score.protocol for score in record.scores}:
            counts[name] = counts.get(name, 0) + 1
    if "sd4match" in counts or not counts:
        return "sd4match"
    return min(counts, key=lambda name: (-counts[name], name))


def caption_of(records: Sequence[Record], protocol: str, averaging: str) -> str:
    """What the numbers of a table are, in two sentences."""
    sizes = sorted({record.cell.fed for record in records if record.scores and record.cell.fed})
    fed = f" ({', '.join(f'{w} x {h}' for w, h in sizes)})" if sizes else ""
    frame = f" in the frame each extractor was fed{fed}" if protocol.startswith("sd4match") else ""
    multiplied: dict[str, set[str]] = {}
    for record in records:
        if protocol in record.thresholds:
            multiplied.setdefault(record.thresholds[protocol], set()).add(record.cell.dataset)
    threshold = "; ".join(f"{', '.join(sorted(names))}: {kind}" for kind, names in sorted(multiplied.items()))
    return (
        f"PCK in percent at alpha, protocol {protocol}{frame}, mean per {averaging}, ± half the 95 % bootstrap interval over image pairs."
        + (f" Alpha multiplies the target's size ({threshold})." if threshold else "")
    )


def alpha_text(alpha: float) -> str:
    """Two decimals, or as many as it needs."""
    return f"{alpha:.2f}" if round(alpha, 2) == alpha else f"{alpha:g}"


def number_text(score: Score | None) -> str:
    """`50.7 ±1.0`, or an en dash."""
    if score is None:
        return "–"
    if score.low is None or score.high is None:
        return f"{score.pck:.1f}"
    return f"{score.pck:.1f} ±{(score.high - score.low) / 2:.1f}"


# ----------------------------------------------------------------------------------------------------------------- formats


def _csv(rows: Sequence[Row], columns: Sequence[str]) -> str:
    import pandas as pd

    buffer = io.StringIO()
    pd.DataFrame(list(rows), columns=list(columns)).to_csv(buffer, index=False, lineterminator="\n")
    return buffer.getvalue()


def _tex(caption: str, body: str) -> str:
    escaped = re.sub(r"([&%$#_{}])", r"\\\1", caption)
    return f"\\begin{{table}}\n\\centering\n\\caption{{{escaped}}}\n{body}\n\\end{{table}}\n"


def _html(text: str) -> str:
    from html import escape

    return escape(text)
