"""Names of datasets in tables: data that differ under one name have a column each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.datasets.chosen_categories import whole_split
from harness.records.coverage import coverage_notes
from harness.records.labels import seedless_label
from harness.records.schema import Record
from harness.tables.columns import Split, split_of

_MARK = " (manifest "
"""Begins the end of a name that tells data of one name apart."""

_DIGITS = 6
"""Fewest digits of a manifest that stand in a name."""


@dataclass(frozen=True)
class DataNames:
    """Names of datasets.

    Attributes:
        names: cell id -> the dataset's name in tables, where it differs.
        aside: splits by name in tables whose data are not those that rows are ranked on; pairs of chosen
            categories, too, where there are whole splits.
    """

    names: Mapping[str, str]
    aside: frozenset[Split]


def name_data(records: Sequence[Record]) -> DataNames:
    """Names the data of each split, which differ where their manifests do.

    Data of the published size keep the dataset's name, if no others of that size are there. All others have
    the beginning of their manifest behind it. Rows are ranked on the published data, else on those that most
    rows have whole, else on those that most have, else on the newest.
    """
    by_split: dict[Split, dict[str, list[Record]]] = {}
    for record in records:
        if record.provenance:
            manifests = by_split.setdefault(split_of(record), {})
            manifests.setdefault(record.provenance.manifest, []).append(record)
    names: dict[str, str] = {}
    aside: set[Split] = set()
    for (dataset, split), manifests in by_split.items():
        if len(manifests) < 2:
            continue
        published = _published(manifests)
        main = published or _main(manifests)
        digits = _distinct_digits(list(manifests))
        for manifest, group in manifests.items():
            name = dataset
            if manifest != published:
                name = f"{dataset}{_MARK}{manifest[:digits]})"
            for record in group:
                names[record.cell.id] = name
            if main and manifest != main:
                aside.add((name, split))
    return DataNames(names, frozenset(aside | _chosen_beside_whole(records, names)))


def _chosen_beside_whole(records: Sequence[Record], names: Mapping[str, str]) -> set[Split]:
    """Splits of chosen categories where some record is of a whole split: a mean over both is of neither."""
    chosen: set[Split] = set()
    has_whole = False
    for record in records:
        dataset, split = split_of(record)
        if whole_split(split) == split:
            has_whole = True
        else:
            chosen.add((names.get(record.cell.id, dataset), split))
    return chosen if has_whole else set()


def plain_dataset(name: str) -> str:
    """The dataset's own name, without what tells its data apart."""
    return name.partition(_MARK)[0]


def _published(manifests: Mapping[str, Sequence[Record]]) -> str | None:
    """The only manifest of the published size; None where there is none, or there are several."""
    whole = []
    for manifest, group in manifests.items():
        counts = [record.counts for record in group if record.counts]
        if any(each.official is not None and each.is_whole for each in counts):
            whole.append(manifest)
    return whole[0] if len(whole) == 1 else None


def _main(manifests: Mapping[str, Sequence[Record]]) -> str | None:
    """The manifest that most rows stand on, the newest of several; None where that does not decide.

    Rows that are whole count before all others: data that were mended are preferred to those that made pairs
    fail.
    """
    ranks: dict[tuple[int, int, str], list[str]] = {}
    for manifest, group in manifests.items():
        rows = {_row(record) for record in group}
        whole = {_row(record) for record in group if _is_whole(record)}
        newest = max(record.provenance.started for record in group if record.provenance)
        ranks.setdefault((len(whole), len(rows), newest), []).append(manifest)
    best = ranks[max(ranks)]
    return best[0] if len(best) == 1 else None


def _row(record: Record) -> tuple[str, str, str]:
    return seedless_label(record), record.cell.prompt, record.cell.backbone


def _is_whole(record: Record) -> bool:
    """Says whether the record has numbers of all pairs by some localizer."""
    return bool(record.scores) and any(not coverage_notes(record, name) for name in record.localizers)


def _distinct_digits(manifests: Sequence[str]) -> int:
    """Digits that tell the manifests apart."""
    digits = _DIGITS
    while len({manifest[:digits] for manifest in manifests}) < len(manifests):
        digits += 1
    return digits
