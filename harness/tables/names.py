"""Names under which tables print records: one name is one set of data, one code, one precision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.records.schema import Record
from harness.tables.columns import Split
from harness.tables.data_names import name_data
from harness.tables.localizer_names import name_localizers, options_names
from harness.tables.method_names import name_methods
from harness.tables.protocol_rules import notes_on_rules

_EVERY = ""
"""In place of a localizer's name: what holds for all of them."""


@dataclass(frozen=True)
class Names:
    """Names of the records of a folder.

    They follow from all of them together: a part of the records keeps the names that it has in the whole.

    Attributes:
        originals: cell id -> the record as it is stored.
        renamed: cell id -> the record with the label and the dataset that tables print.
        localizers: (cell id, localizer) -> its name in tables, where that differs.
        reasons: (cell id, localizer or empty for all) -> why the numbers are not ranked.
        rules: (cell id, protocol) -> how its rule of the protocol differs from the newest on the same split.
        aside: splits of data that differ from those that rows are ranked on, by the name in tables.
    """

    originals: Mapping[str, Record]
    renamed: Mapping[str, Record]
    localizers: Mapping[tuple[str, str], str]
    reasons: Mapping[tuple[str, str], str]
    rules: Mapping[tuple[str, str], str]
    aside: frozenset[Split]

    def rename(self, records: Sequence[Record]) -> list[Record]:
        """The records with the names that tables print, a copy of a cell once."""
        return [self.renamed[cell_id] for cell_id in dict.fromkeys(record.cell.id for record in records)]

    def original(self, record: Record) -> Record:
        """The record as it is stored."""
        return self.originals[record.cell.id]

    def localizer(self, record: Record, localizer: str) -> str:
        """A localizer's name in tables."""
        return self.localizers.get((record.cell.id, localizer), localizer)

    def reasons_of(self, record: Record, localizer: str = _EVERY) -> list[str]:
        """Reasons why a record's numbers by a localizer are not ranked, besides its coverage."""
        keys = dict.fromkeys([(record.cell.id, _EVERY), (record.cell.id, localizer)])
        return [self.reasons[key] for key in keys if key in self.reasons]


def make_names(records: Sequence[Record], reasons: Mapping[str, str] | None = None) -> Names:
    """Names the records of a results folder, or of several that stand in one table.

    Args:
        reasons: cell id -> why its numbers are not ranked, for what the records do not show.
    """
    originals = _without_copies(records)
    data = name_data(list(originals.values()))
    on_data = [_with_cell(record, dataset=data.names.get(cell_id)) for cell_id, record in originals.items()]
    methods = name_methods(on_data)
    reasons_of_cells = {**methods.reasons}
    for cell_id, reason in (reasons or {}).items():
        reasons_of_cells[cell_id] = "; ".join([*filter(None, [methods.reasons.get(cell_id)]), reason])
    every = {(cell_id, _EVERY): reason for cell_id, reason in reasons_of_cells.items()}
    renamed = {}
    for cell_id, record in originals.items():
        renamed[cell_id] = _with_cell(
            record, dataset=data.names.get(cell_id), label=methods.names.get(cell_id)
        )
    localizers = name_localizers(list(renamed.values()))
    options = options_names(list(renamed.values()))
    names = {}
    for key in {**options, **localizers.names}:
        names[key] = options.get(key, key[1]) + localizers.names.get(key, "")
    rules = {}
    for protocol in {name for record in originals.values() for name in record.thresholds}:
        for cell_id, note in notes_on_rules(list(originals.values()), protocol).items():
            rules[cell_id, protocol] = note
    return Names(originals, renamed, names, {**every, **localizers.reasons}, rules, data.aside)


def _without_copies(records: Sequence[Record]) -> dict[str, Record]:
    """Cell id -> record: of several copies of a cell the one with most predictions."""
    chosen: dict[str, Record] = {}
    for record in records:
        cell_id = record.cell.id
        if cell_id not in chosen or _predicted_pairs(record) > _predicted_pairs(chosen[cell_id]):
            chosen[cell_id] = record
    return chosen


def _predicted_pairs(record: Record) -> int:
    return sum(info.pairs for info in record.localizers.values())


def _with_cell(record: Record, **values: str | None) -> Record:
    """The record with those properties of its cell that are not None."""
    changes = {name: value for name, value in values.items() if value is not None}
    if not changes:
        return record
    return record.model_copy(update={"cell": record.cell.model_copy(update=changes)})
