"""Compares the files of a source with the fetched and with the published ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UserError
from harness.files import file_sha256
from harness.specs import WeightSource
from harness.weights.content import RECORD, content_refusal, select_files_in
from harness.weights.places import WeightLocation, find_weights, weights_folder
from harness.weights.record import read_record


@dataclass(frozen=True)
class WeightReport:
    """Result of verifying a source.

    Attributes:
        source: its name.
        place: its folder or file.
        origin: repository and commit, or address, that it came from; empty where unknown.
        files: file -> sha256, of those that are present.
        published: files that are byte for byte the published ones.
        recorded: files that are as they were fetched.
        unknown: files whose right hash is not known.
        missing: files, or patterns of files, that are absent.
        changed: what is wrong with the others, one line each, values of configurations that are not the
            published ones included; first, if so, that the folder is one the source refuses.
    """

    source: str
    place: str
    origin: str
    files: dict[str, str]
    published: tuple[str, ...]
    recorded: tuple[str, ...]
    unknown: tuple[str, ...]
    missing: tuple[str, ...]
    changed: tuple[str, ...]

    @property
    def is_whole(self) -> bool:
        """True where nothing is missing or changed."""
        return not self.missing and not self.changed


def find_partial_weights(source: WeightSource, root: Path | None = None) -> WeightLocation:
    """Finds a source, even a part of it. Raises `UserError` where none of its files is present."""
    try:
        return find_weights(source, root)
    except UserError:
        folder = weights_folder(source, root)
        has_files = (folder / RECORD).is_file() or select_files_in(source, folder).files
        # Weights of a package are not fetched, so that no folder can hold a part of them.
        if source.locate or not has_files:
            raise
        return WeightLocation(folder, "fetched")


def verify_weights(source: WeightSource, location: WeightLocation) -> WeightReport:
    """Reads every file of a source and compares its hash with the fetched and with the published one.

    Raises:
        UserError: the record of the fetch is damaged.
    """
    path, folder = location.path, location.folder
    record = read_record(folder) if location.kind in ("fetched", "own") else None
    recorded: dict[str, str] = {}
    # The user's folder may be where another source was fetched to.
    if record and record.source == source.name:
        recorded = {name: file.sha256 for name, file in record.files.items()}
    missing: tuple[str, ...] = ()
    refused = ""
    differences: Sequence[str] = ()
    if path.is_file():
        paths = {source.file or path.name: path}
    else:
        selection = select_files_in(source, folder)
        paths = {name: folder / name for name in selection.files}
        missing = selection.missing
        refused = content_refusal(source, folder)
        if source.differences and not missing:
            differences = source.differences(folder)
    hashes = {name: file_sha256(file) for name, file in paths.items()}
    # Beside the patterns without a file: a file that the fetch has recorded, and that is gone.
    gone = [name for name in recorded if name not in hashes]
    published = [name for name in hashes if source.sha256.get(name) == hashes[name]]
    unchanged = [name for name in hashes if recorded.get(name) == hashes[name]]
    unknown = hashes.keys() - source.sha256.keys() - recorded.keys()
    changes = [*_changes(hashes, source.sha256, recorded), *differences]
    if refused:
        changes.insert(0, refused)
    return WeightReport(
        source=source.name,
        place=str(path),
        origin=location.origin,
        files=hashes,
        published=tuple(published),
        recorded=tuple(unchanged),
        unknown=tuple(name for name in hashes if name in unknown),
        missing=tuple(dict.fromkeys([*gone, *missing])),
        changed=tuple(changes),
    )


def _changes(
    hashes: Mapping[str, str], published: Mapping[str, str], recorded: Mapping[str, str]
) -> Iterator[str]:
    """Yields a line for each file that differs from the published or from the fetched one."""
    for name, digest in hashes.items():
        for kind, known in (("published", published), ("fetched", recorded)):
            expected = known.get(name, digest)
            if expected != digest:
                yield f"{name}: sha256 {digest}, {kind} {expected}"
