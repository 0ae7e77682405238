"""Names of localizers in tables: with the options, and the version of the code, that set two apart."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.records.labels import seedless_label
from harness.records.schema import Record
from harness.specs import Scalar
from harness.sweep import format_value

Key = tuple[str, str]
"""(cell id, localizer)"""


@dataclass(frozen=True)
class LocalizerNames:
    """Marks of localizers whose code changed.

    Attributes:
        names: (cell id, localizer) -> the end of its name.
        reasons: the same -> why the row is not ranked.
    """

    names: Mapping[Key, str]
    reasons: Mapping[Key, str]


def options_names(records: Sequence[Record]) -> dict[Key, str]:
    """Names with the options in which localizers of one name differ: `kernel-softmax[relative_to=48]`.

    Localizers that have the same options in all records are left out.
    """
    by_name: dict[str, dict[Key, Mapping[str, Scalar]]] = {}
    for record in records:
        for name, info in record.localizers.items():
            by_name.setdefault(name, {})[record.cell.id, name] = info.options
    names: dict[Key, str] = {}
    for name, options_of in by_name.items():
        differing = _differing_options(list(options_of.values()))
        if not differing:
            continue
        for key, options in options_of.items():
            texts = [f"{option}={format_value(options[option])}" for option in differing if option in options]
            names[key] = f"{name}[{','.join(texts)}]" if texts else name
    return names


def _differing_options(all_options: Sequence[Mapping[str, Scalar]]) -> list[str]:
    """Names of options that some have with another value, or have not at all."""
    option_names: set[str] = set()
    for options in all_options:
        option_names |= options.keys()
    differing = []
    for option in sorted(option_names):
        values = {format_value(options[option]) if option in options else None for options in all_options}
        if len(values) > 1:
            differing.append(option)
    return differing


def name_localizers(records: Sequence[Record]) -> LocalizerNames:
    """Marks the older versions of a localizer's code within the records of one row."""
    groups: dict[tuple[str, ...], dict[str, list[Record]]] = {}
    for record in records:
        if record.provenance is None:
            continue
        cell, label = record.cell, seedless_label(record)
        for name in record.localizers:
            version = record.provenance.plugins.get(f"localizer {name}")
            # Of an earlier run of the cell, whose plugins the record does not name any more.
            if version is not None:
                versions = groups.setdefault((label, cell.prompt, cell.backbone, name), {})
                versions.setdefault(version, []).append(record)
    names: dict[Key, str] = {}
    reasons: dict[Key, str] = {}
    for (*_, name), versions in groups.items():
        if len(versions) < 2:
            continue
        _, *older = sorted(versions, key=lambda version: _started(versions[version]), reverse=True)
        for version in older:
            digest = hashlib.sha256(json.dumps(version).encode()).hexdigest()[:6]
            for record in versions[version]:
                names[record.cell.id, name] = f" (older version {digest})"
                reasons[record.cell.id, name] = f"older version, other code of localizer {name}"
    return LocalizerNames(names, reasons)


def _started(records: Sequence[Record]) -> tuple[str, str]:
    """Sorting key: the newest version last."""
    newest = max(record.provenance.started for record in records if record.provenance)
    return newest, max(record.cell.id for record in records)
