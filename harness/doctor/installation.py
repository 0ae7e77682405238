"""The installation, looked over: plugins, device, weights and datasets. Nothing is computed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from harness.datasets.presence import dataset_presence
from harness.doctor.checks import Finding
from harness.environment import device_name, hardware, package_versions
from harness.errors import BenchError
from harness.messages import one_line
from harness.plugins.host import Host
from harness.specs import DatasetSpec, WeightSource
from harness.weights.places import find_weights


def examine_installation(
    host: Host, device: str, data_root: Path, weights_root: Path | None
) -> Iterator[Finding]:
    """Looks over what methods need. What is not there yet is no fault; what does not work is.

    Args:
        device: as the user named it, such as `auto`.
        data_root: folder that holds the datasets' own folders.
        weights_root: folder of fetched weights; None for the usual one.
    """
    yield _device(device)
    for plugin in host.plugins:
        result = "failed" if plugin.status == "failed" else "skipped"
        if plugin.status == "loaded":
            # Of a loaded one the reason is a clash of names, which stops those names alone.
            result = "warned" if plugin.reason else "ok"
        detail = f"{plugin.status}: {plugin.reason}" if plugin.reason else plugin.status
        yield Finding(plugin.origin, result, detail)  # type: ignore[arg-type]
    for source in host.weight_sources.values():
        yield _weights(source, weights_root)
    yield Finding("data root", "ok" if data_root.is_dir() else "skipped", str(data_root.absolute()))
    for spec in host.datasets.values():
        if spec.name != "folder":
            yield _dataset(spec, data_root / spec.home)


def _device(name: str) -> Finding:
    versions = package_versions()
    try:
        device = device_name(name)
    except BenchError as error:
        return Finding("device", "failed", str(error))
    parts = hardware(device)
    detail = f"{device} ({parts.get('gpu') or parts.get('processor', '')}), torch {versions.get('torch')}"
    return Finding("device", "ok", detail)


def _weights(source: WeightSource, root: Path | None) -> Finding:
    label = f"weights {source.name}"
    try:
        place = find_weights(source, root)
    except Exception as error:  # noqa: BLE001 - a plugin's own way to look must not hide the other sources
        hint = "" if source.locate else f"; 'bench weights fetch {source.name}'"
        reason = one_line(error) if source.locate else "absent"
        return Finding(label, "skipped", reason + hint)
    return Finding(label, "ok", f"{place.kind}: {place.path}")


def _dataset(spec: DatasetSpec, folder: Path) -> Finding:
    label = f"dataset {spec.name}"
    try:
        presence = dataset_presence(spec, folder)
    except Exception as error:  # noqa: BLE001 - one dataset of a plugin must not hide the others
        return Finding(label, "failed", one_line(error))
    if presence.state in ("present", "bundled"):
        return Finding(label, "ok", presence.state)
    if presence.state == "absent":
        hint = f"; 'bench data fetch {spec.name}'" if spec.files else ""
        return Finding(label, "skipped", f"absent{hint}")
    return Finding(label, "warned", f"{presence.state}: {presence.missing[0]}")
