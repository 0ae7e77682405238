"""The installation, looked over: a text for a report of a fault. Nothing is computed, written or fetched."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from harness.doctor.entries import Entry, Result, Section
from harness.doctor.machine import machine
from harness.doctor.privacy import without_names
from harness.doctor.readiness import dataset_entries, method_entries, weight_entries
from harness.doctor.software import software
from harness.doctor.storage import Folders, storage
from harness.doctor.variables import variables
from harness.messages import printable
from harness.plugins.host import Host
from harness.plugins.registry import Plugin
from harness.weights.choice import WeightChoice


@dataclass(frozen=True)
class InstallationRequest:
    """What the user would run with.

    Attributes:
        device: as the user named it, such as `auto`.
        weights: the user's own files for weight sources, and where fetched ones lie.
    """

    folders: Folders
    device: str = "auto"
    weights: WeightChoice = field(default_factory=WeightChoice)


def examine_installation(host: Host, request: InstallationRequest) -> Iterator[Section]:
    """Looks over what methods need. What is not there yet is no fault; what does not work is.

    Home folders are written as `~`, and secrets are not told: the text is meant for strangers.
    """
    folders = request.folders
    # First, since it imports torch in the quicker way; plugins import it, too.
    machine_entries = list(machine(request.device))
    methods, needs = method_entries(host, request.weights)
    sections = {
        "versions": software(),
        "machine": machine_entries,
        "environment variables": variables(os.environ),
        "folders": storage(folders),
        "plugins": map(_plugin, host.plugins),
        "weights": weight_entries(host, folders.weights_root, needs),
        "datasets": dataset_entries(host, folders.data_root),
        "methods": methods,
    }
    for title, entries in sections.items():
        yield Section(title, [_for_strangers(entry) for entry in entries])


def _for_strangers(entry: Entry) -> Entry:
    """A line without names of the user, and without characters that a terminal would obey."""
    detail = without_names(printable(entry.detail))
    return replace(entry, name=printable(entry.name), detail=detail, remedy=without_names(entry.remedy))


def _plugin(plugin: Plugin) -> Entry:
    result: Result = "failed" if plugin.status == "failed" else "skipped"
    if plugin.status == "loaded":
        # Of a loaded one the reason is a clash of names, which stops those names alone.
        result = "warned" if plugin.reason else "ok"
    detail = f"{plugin.distribution} {plugin.version}, {plugin.status}"
    return Entry(plugin.name, f"{detail}: {plugin.reason}" if plugin.reason else detail, result)
