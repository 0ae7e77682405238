"""Pages on what is no method: datasets, extractors, prompts, matchers, localizers, protocols and weights."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from harness.cards.card import Card, Section
from harness.datasets.presence import dataset_presence
from harness.datasets.splits import dataset_folder
from harness.messages import bytes_text, counted, listed
from harness.plugins.host import Host
from harness.specs import DatasetSpec, WeightSource
from harness.sweep import DatasetChoice, format_value
from harness.weights.presence import weight_presence

_THRESHOLDS = {
    "box": "the longer side of the target's box",
    "image": "the longer side of the target image",
    "points": "the larger extent of the target's points",
}


def dataset_card(host: Host, name: str, data_root: Path) -> Card:
    """The page on a dataset. Raises `UserError` where no plugin brings it."""
    spec: DatasetSpec = host.datasets[name]
    folder = dataset_folder(spec, DatasetChoice(spec.name), data_root)
    presence = dataset_presence(spec, folder)
    plugin = host.registries["bench_datasets"].origin(name)
    where = f"{presence.state}: {folder}" if spec.home else presence.state
    rows = [("state", where)]
    if not spec.home and presence.state != "bundled":
        rows = [("state", f"your own files: --datasets {name}=PATH")]
    rows.append(("alpha multiplies", _THRESHOLDS[spec.threshold]))
    rows.append(("to fetch", f"about {bytes_text(spec.download_bytes)}" if spec.download_bytes else "–"))
    rows += [("file", file.url) for file in spec.files]
    rows.append(("brought by", plugin.origin))
    splits = []
    for number, split in enumerate(spec.splits):
        counts = spec.counts.get(split, {})
        texts = [counted(counts[kind], _COUNT_WORDS[kind]) for kind in _COUNT_WORDS if kind in counts]
        splits.append((split, f"{', '.join(texts) or '–'}{' (the default)' if number == 0 else ''}"))
    words = [f"{category}: {word}" for category, word in spec.prompt_names.items() if word != category]
    command = f"bench run --methods position --datasets {name}"
    if spec.home:
        how = "fetch" if spec.files or spec.prepare is None else "prepare"
        command = f"bench data {how} {name} --data-root data\n{command} --data-root data"
    elif presence.state != "bundled":
        command = f"{command}=PATH"
    sections = (
        Section("where", rows),
        Section("splits", splits),
        Section("words in prompts", text=", ".join(words)),
        Section("citation", text=spec.citation, is_verbatim=True),
        Section("to run a method on it", text=command, is_verbatim=True),
    )
    fields = {
        "type": "dataset",
        **_fields(spec),
        "plugin": plugin.name,
        "state": presence.state,
        "place": str(folder) if spec.home else None,
        "missing": list(presence.missing),
        "command": command,
    }
    return Card(f"dataset {name}: {spec.description}", sections, fields)


_COUNT_WORDS = {"pairs": "pair", "images": "image name", "keypoints": "keypoint"}


def weights_card(host: Host, name: str, weights_root: Path | None) -> Card:
    """The page on a weight source. Raises `UserError` where no plugin brings it."""
    spec: WeightSource = host.weight_sources[name]
    presence = weight_presence(spec, weights_root)
    plugin = host.registries["bench_weights"].origin(name)
    rows = [("state", presence.state), ("size", presence.size_text)]
    if presence.is_there:
        rows.append(("place", str(presence.path)))
    rows += [("from", mirror) for mirror in spec.mirrors]
    rows += [("from", file.url) for file in spec.downloads]
    rows += [(label, text) for label, text in (("first", spec.advice), ("with tiny", spec.stand_in)) if text]
    users = [each.name for each in host.methods.values() if name in _weights_of(host, each.name)]
    rows += [("used by", listed(users) or "–"), ("brought by", plugin.origin)]
    has_fetch = bool(spec.mirrors or spec.downloads)
    sections = (
        Section("where", rows),
        Section("citation", text=spec.citation, is_verbatim=True),
        Section("to fetch it", text=f"bench weights fetch {name}" if has_fetch else "", is_verbatim=True),
    )
    fields = {
        "type": "weights",
        **_fields(spec),
        "plugin": plugin.name,
        "state": presence.state,
        "size": presence.size,
        "used_by": users,
    }
    return Card(f"weights {name}: {spec.description}", sections, fields)


def _weights_of(host: Host, method: str) -> tuple[str, ...]:
    spec = host.methods.get(method)
    parts = (
        host.extractors.get(spec.extractor),
        host.matchers.get(spec.matcher),
        host.prompts.get(spec.prompt),
    )
    return tuple(name for part in parts if part for name in part.weights)


def plain_card(host: Host, kind: str, word: str, name: str) -> Card:
    """The page on an extractor, prompt, matcher, localizer or protocol: fields, and the methods that use it.

    Args:
        kind: the host's registry, `localizers`.
        word: the kind in the singular.

    Raises:
        UserError: no plugin brings it.
    """
    spec: Any = getattr(host, kind)[name]
    plugin = host.registries[f"bench_{kind}"].origin(name)
    fields = _fields(spec)
    rows = []
    for key, value in fields.items():
        if key not in ("name", "description", "citation") and value not in (None, "", [], {}):
            rows.append((key.replace("_", " "), _text(value)))
    users = [each.name for each in host.methods.values() if getattr(each, word, None) == name]
    if kind != "protocols":
        rows.append(("used by", f"methods {listed(users)}" if users else "no method's own recipe"))
    rows.append(("brought by", plugin.origin))
    sections = (Section("what it says", rows), Section("citation", text=spec.citation, is_verbatim=True))
    return Card(
        f"{word} {name}: {spec.description}",
        sections,
        {"type": word, **fields, "plugin": plugin.name, "used_by": users},
    )


def _text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}={_text(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return format_value(value) if isinstance(value, str | int | float | bool | None) else str(value)


def _fields(value: Any) -> dict[str, object]:
    """Fields of a spec that JSON can hold: its functions are left out."""
    fields: dict[str, object] = {}
    for each in dataclasses.fields(value):
        content = getattr(value, each.name)
        if not callable(content):
            fields[each.name] = _plain(content)
    return fields


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list | frozenset):
        return [_plain(item) for item in (sorted(value) if isinstance(value, frozenset) else value)]
    if dataclasses.is_dataclass(value):
        return _fields(value)
    if isinstance(value, str | int | float | bool | None):
        return value
    # The kind of a parameter's values.
    return value.__name__ if isinstance(value, type) else str(value)
