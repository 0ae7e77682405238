"""From records to tables: tidy rows, and the ranked leaderboard."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from harness.errors import UserError
from harness.lines import (
    NOTHING,
    RANKING_ALPHA,
    Averaging,
    Column,
    Line,
    alpha_text,
    lines_of,
    marked,
    ruling_of,
    split_name,
)
from harness.records import Provenance, Record, Score
from harness.reported import Reported
from harness.table import TIDY_KEYS, Row, Table

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


# ------------------------------------------------------------------------------------------------------------- leaderboard

Places = Callable[[Sequence[Line], Sequence[Column]], Sequence[int] | None]
"""(rows in order, columns) -> the place of each, rows that are tied having the same one; None where that cannot be told."""


def leaderboard(
    records: Sequence[Record],
    *,
    protocol: str | None = None,
    averaging: Averaging = "image",
    alphas: Sequence[float] | None = None,
    localizers: Sequence[str] | None = None,
    full: bool = False,
    places: Places | None = None,
    reported: Reported | None = None,
    rank_reported: bool = False,
) -> Table:
    """Methods as rows, datasets and alphas as columns.

    Complete rows of the table's protocol are ranked by their mean over datasets at alpha 0.10 (over all alphas where that is not among
    them); limited, failed and foreign-protocol rows follow, marked, and then what papers printed.

    Args:
        protocol: the table's protocol; None for the one most records have, `sd4match` first.
        alphas: None for all that the records have.
        localizers: keep only these.
        full: with what a reader needs to trust a row (supervision, timestep, ensemble, training data, pairs, seconds per pair), the best
            of each group in bold and the second underlined.
        places: finds ties; None for the order alone.
        reported: numbers that papers printed, to stand beside the measured ones.
        rank_reported: ranks those that have all of the ranking columns among the measured ones.
    """
    chosen = chosen_protocol(records, protocol)
    records, differs = labelled(records)
    measured = columns_of(records, chosen, averaging, alphas)
    columns = [*measured, *(reported_columns(reported, measured, alphas) if reported else [])]
    lines = lines_of(records, chosen, averaging, localizers, differs)
    printed: list[Line] = []
    if reported:
        lines = [reported.claimed(line, chosen, averaging) for line in lines]
        printed = reported.lines(columns, chosen, averaging)
    ranking = [line for line in lines if line.complete(measured)]
    if rank_reported:
        ruling = ruling_of(measured)
        ranking += [line for line in printed if line.complete(ruling)]
        printed = [line for line in printed if not line.complete(ruling)]
    ranked = sorted(ranking, key=lambda line: (-line.mean(measured), line.key))
    tested = len(ranked) > 1 and not any(line.reported for line in ranked)
    found = places(ranked, measured) if places and tested else None
    others = sorted((line for line in lines if not line.complete(measured)), key=lambda line: line.key)
    shown = [*ranked, *others, *printed]
    numbers = [str(place) for place in found or range(1, len(ranked) + 1)] + [""] * (len(shown) - len(ranked))
    caption = [caption_of(records, chosen, averaging)]
    if full and ranked:
        caption.append(f"Places: {_ruling(measured)}.")
    if found:
        caption.append(_TIES)
    elif places and len(ranked) > 1:
        caption.append(_NO_TIES)
    if full:
        caption += trusted_caption(records, shown)
    if reported:
        caption.append(reported_caption(any(line.claims for line in lines), any(line.reported for line in shown), rank_reported))
    titles = tuple(f"{split_name(column.dataset, column.split)} @{alpha_text(column.alpha)}" for column in columns)
    return Table(
        caption=" ".join(caption),
        header=(*_NAMED, *titles, *(_DETAILS if full else ()), "note"),
        rows=tuple(
            (
                *(number, line.method, line.prompt, line.localizer, line.backbone),
                *(line.text(column) for column in columns),
                *(_details(line) if full else ()),
                "; ".join((*line.notes, *line.remarks)),
            )
            for number, line in zip(numbers, shown, strict=True)
        ),
        tidy=(*tidy(records, localizers), *(reported.tidy() if reported else ())),
        names=len(_NAMED),
        marks=marked(shown, columns, len(_NAMED), mixed=rank_reported) if full else {},
        breaks=frozenset({len(ranked), len(ranked) + len(others)}) if full else frozenset(),
    )


_NAMED = ("#", "method", "prompt", "localizer", "backbone")
_DETAILS = ("sup.", "t", "ensemble", "trained on", "pairs", "s/pair")

_TIES = (
    "Rows of one number are tied: not told apart from the first of them (paired bootstrap over images, 95 %, Holm's correction). "
    "± takes pairs as independent: since they share images, it is too narrow to tell rows apart."
)

_NO_TIES = "They are by value alone, not tested for ties."


def _ruling(columns: Sequence[Column]) -> str:
    """What rows are in order of."""
    ruling = ruling_of(columns)
    what = f"PCK at alpha {', '.join(dict.fromkeys(alpha_text(column.alpha) for column in ruling))}"
    return f"mean of {what}" if len(ruling) > 1 else what


def chosen_protocol(records: Sequence[Record], asked: str | None) -> str:
    """The protocol asked for, or `main_protocol`. Raises `UserError` where no record has the one asked for."""
    if asked and records and not any(score.protocol == asked for record in records for score in record.scores):
        known = sorted({score.protocol for record in records for score in record.scores})
        raise UserError(f"no record has protocol '{asked}'; they have {', '.join(known) or 'none'}; 'bench rescore' adds one")
    return asked or main_protocol(records)


def reported_columns(reported: Reported, measured: Sequence[Column], alphas: Sequence[float] | None) -> list[Column]:
    """The columns of printed numbers that a table gets besides the measured ones.

    Those of datasets that were measured; where nobody printed a number for any of them, those of all datasets, so that what was asked for
    is there.
    """
    known = [column for column in reported.columns() if alphas is None or column.alpha in alphas]
    here = [column for column in known if column.dataset in {one.dataset for one in measured}]
    return [column for column in here or known if column not in measured]


def trusted_caption(records: Sequence[Record], lines: Sequence[Line]) -> list[str]:
    """What the columns mean that say whether to trust a row."""
    found = ["Bold: best of its supervision group (Z zero-shot, I image-level labels or pairs, K keypoints); underlined: second."]
    if any(len(line.pairs) > 1 for line in lines):
        found.append("Pairs and seconds in the order of the datasets.")
    if any(line.seconds for line in lines):
        used = {_processor(record.provenance) for record in records if record.provenance}
        found.append(f"s/pair: features and points, on {', '.join(sorted(used))}.")
    return found


def _processor(provenance: Provenance) -> str:
    hardware = provenance.hardware
    return hardware.get("gpu") or hardware.get("processor") or "hardware that is not recorded"


def reported_caption(claims: bool, printed: bool, mixed: bool) -> str:
    """What reported rows and the numbers in brackets are.

    Args:
        claims: whether there are numbers in brackets.
        printed: whether there are reported rows.
        mixed: whether those are marked among the measured ones, or not at all.
    """
    found = []
    if printed:
        found.append("Rows called reported are what papers printed; nobody measured them here.")
        if not mixed:
            found.append("Their best and second are marked among themselves.")
    elif not claims:
        found.append("No paper that is known here printed such numbers.")
    if claims:
        found.append("In brackets: measured less reported, in points.")
    return " ".join(found)


def pairs_text(line: Line) -> str:
    """`900`, or `299 / 900` on several datasets."""
    return " / ".join(str(number) for _, number in sorted(line.pairs.items())) or NOTHING


def _details(line: Line) -> tuple[str, ...]:
    texts = (line.supervision, line.timestep, line.ensemble, line.trained_on)
    return (*map(or_nothing, texts), pairs_text(line), _seconds(line))


def _seconds(line: Line) -> str:
    found = [f"{line.seconds[split]:.3f}" if split in line.seconds else NOTHING for split in sorted(line.pairs)]
    return " / ".join(found) or NOTHING


def or_nothing(text: str) -> str:
    """The text, or an en dash."""
    return text or NOTHING


def check_asked(records: Sequence[Record], alphas: Sequence[float] | None, localizers: Sequence[str] | None) -> None:
    """Raises `UserError` where a threshold or localizer is asked for that no record has: the table would be empty."""
    for kind, asked, known in (
        ("alpha", alphas, {score.alpha for record in records for score in record.scores}),
        ("localizer", localizers, {name for record in records for name in record.localizers}),
    ):
        missing = [one for one in asked or () if one not in known]
        if missing and known:
            raise UserError(f"no record has {kind} {missing[0]}; they have {', '.join(map(str, sorted(known, key=str)))}")


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


def columns_of(records: Sequence[Record], protocol: str, averaging: Averaging, alphas: Sequence[float] | None) -> list[Column]:
    """Datasets and alphas that records have numbers of; of another protocol where a record has no other."""
    found: set[Column] = set()
    for record in records:
        protocols = {score.protocol for score in record.scores}
        for score in record.scores:
            if (score.slice == "all" and score.averaging == averaging and score.protocol == protocol) or protocol not in protocols:
                found.add(Column(record.cell.dataset, record.cell.split, score.alpha))
    return sorted(column for column in found if alphas is None or column.alpha in alphas)


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
