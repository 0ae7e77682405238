"""Labels of methods in tables: another precision, code or prompt file under one label is another row."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.records.labels import label_with, label_without
from harness.records.schema import Record

PRECISION = "precision"

_CODE = {"plugin code", "prompt code", "matcher code", "harness code", "plugin files"}


@dataclass(frozen=True)
class MethodNames:
    """Labels of records.

    Attributes:
        names: cell id -> label, where it differs from the record's.
        reasons: cell id -> why the row is not ranked.
    """

    names: Mapping[str, str]
    reasons: Mapping[str, str]


def name_methods(records: Sequence[Record]) -> MethodNames:
    """Names methods so that a label, prompt and backbone stand for one code, prompt file and precision.

    Where records differ in precision, each label has its own. Of several versions of the code the newest
    keeps the label, and the older ones are marked. Of cells that differ in nothing that a record says, the
    best founded one keeps it.
    """
    labels = _labels_with_precision(records)
    reasons: dict[str, str] = {}
    for group in _groups(records, labels, by_split=False):
        _name_versions(group, labels, reasons)
    for group in _groups(records, labels, by_split=True):
        best, *twins = sorted(group, key=_foundation)
        for record in twins:
            # An id ends in a dot and a hash of what determines the numbers.
            digest = record.cell.id.rpartition(".")[2]
            reasons[record.cell.id] = f"another cell of this name than {labels[best.cell.id]}"
            labels[record.cell.id] += f" ({digest[:6]})"
    names = {}
    for record in records:
        if labels[record.cell.id] != record.cell.label:
            names[record.cell.id] = labels[record.cell.id]
    return MethodNames(names, reasons)


def _labels_with_precision(records: Sequence[Record]) -> dict[str, str]:
    """Cell id -> label, with its precision where the records have several."""
    precisions: dict[str, str] = {}
    for record in records:
        if record.provenance:
            precisions[record.cell.id] = record.provenance.precision
    has_several = len(set(precisions.values())) > 1
    labels = {}
    for record in records:
        label = record.cell.label
        if has_several and record.cell.id in precisions:
            label = label_with(label, f"{PRECISION}={precisions[record.cell.id]}")
        labels[record.cell.id] = label
    return labels


def _groups(records: Sequence[Record], labels: Mapping[str, str], *, by_split: bool) -> list[list[Record]]:
    """Records of one label, prompt and backbone, on one split or, of all seeds, on all.

    Groups of one are left out.
    """
    groups: dict[tuple[str, ...], list[Record]] = {}
    for record in records:
        cell = record.cell
        label = labels[cell.id]
        # Seeds of one code are one row: a version is one of all of them.
        if cell.seed and not by_split:
            label = label_without(label, "seed")
        key: tuple[str, ...] = (label, cell.prompt, cell.backbone)
        if by_split:
            key += (cell.dataset, cell.split)
        groups.setdefault(key, []).append(record)
    return [group for group in groups.values() if len(group) > 1]


def _name_versions(group: Sequence[Record], labels: dict[str, str], reasons: dict[str, str]) -> None:
    """Marks all versions but the newest. Adds to both mappings."""
    versions: dict[str, list[Record]] = {}
    for record in group:
        # A record without provenance says nothing of its version, and stays with the newest.
        if record.provenance:
            text = json.dumps(_aspects(record), sort_keys=True)
            versions.setdefault(text, []).append(record)
    if len(versions) < 2:
        return
    newest, *older = sorted(versions, key=lambda text: _started(versions[text]), reverse=True)
    aspects = json.loads(newest)
    for text in older:
        older_aspects = json.loads(text)
        differing = [name for name in aspects if aspects[name] != older_aspects[name]]
        digest = hashlib.sha256(text.encode()).hexdigest()[:6]
        mark, kind = digest, ""
        if _CODE.issuperset(differing):
            mark, kind = f"older version {digest}", "older version, "
        for record in versions[text]:
            label = labels[record.cell.id]
            reasons[record.cell.id] = f"{kind}other {', '.join(differing)} than {label}"
            labels[record.cell.id] = f"{label} ({mark})"


def _started(records: Sequence[Record]) -> tuple[str, tuple[bool, ...], str]:
    """Sorting key: the newest version last; where two began at once, the one whose numbers stand on more."""
    started = max(record.provenance.started for record in records if record.provenance)
    best = min(records, key=_foundation)
    *is_weaker, cell_id = _foundation(best)
    return started, tuple(not value for value in is_weaker), str(cell_id)


def _foundation(record: Record) -> tuple[bool, bool, bool, str]:
    """Sorting key: records whose numbers stand on more come first."""
    is_limited = any(record.coverage(name) == "limited" for name in record.localizers)
    # The id last: the same record keeps its label whatever order the folder is read in.
    return not record.scores, bool(record.failures), is_limited, record.cell.id


def _aspects(record: Record) -> dict[str, object]:
    """What cells of one label may differ in and no column shows, by the name that a user has for it."""
    provenance = record.provenance
    assert provenance is not None
    cell = record.cell
    return {
        "plugin code": provenance.plugins.get("extractor"),
        "prompt code": provenance.plugins.get("prompt"),
        "matcher code": provenance.plugins.get("matcher"),
        "harness code": provenance.plugins.get("harness"),
        "plugin files": [
            provenance.weights.get(f"files of {name}")
            for name in (cell.extractor, cell.prompt, f"matcher {cell.matcher}")
        ],
        "prompt file": provenance.weights.get("prompt file"),
        "input size": record.cell.fed,
    }
