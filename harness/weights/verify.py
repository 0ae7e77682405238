"""Are the files those that were fetched, and those that were published?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.errors import UserError
from harness.files import file_sha256
from harness.specs import WeightSource
from harness.weights.content import RECORD, refused_content, select_files_in
from harness.weights.places import WeightLocation, find_weights, weights_folder
from harness.weights.record import read_record


@dataclass(frozen=True)
class WeightReport:
    """What was found out about a source.

    Attributes:
        source: its name.
        place: where it lies.
        origin: where it came from, empty where that is not known.
        files: file -> sha256 found, of those that are there.
        published: files that are byte for byte the published ones.
        recorded: files that are as they were fetched.
        unknown: files of which no hash is known.
        missing: files, or patterns of files, that are not there.
        changed: what is wrong with the others, one line each; first, if so, that the folder is one the source
            refuses.
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
    def whole(self) -> bool:
        """Whether nothing is missing or changed."""
        return not self.missing and not self.changed


def find_partial_weights(source: WeightSource, root: Path | None = None) -> WeightLocation:
    """Where a source lies, also if only a part of it does. Raises `UserError` where nothing is there."""
    try:
        return find_weights(source, root)
    except UserError:
        folder = weights_folder(source, root)
        if source.locate or (not (folder / RECORD).is_file() and not select_files_in(source, folder).files):
            raise
        return WeightLocation(folder, "fetched")


def verify_weights(source: WeightSource, place: WeightLocation) -> WeightReport:
    """Reads every file of a source and compares its hash with the record of the fetch and with the published
    one.

    Raises:
        UserError: the record is damaged.
    """
    single, folder = place.path.is_file(), place.folder
    record = read_record(folder) if place.kind in ("fetched", "own") else None
    recorded = record.files if record and record.source == source.name else {}
    chosen = select_files_in(source, folder)
    paths = (
        {source.file or place.path.name: place.path}
        if single
        else {name: folder / name for name in chosen.files}
    )
    found = {name: file_sha256(path) for name, path in paths.items()}
    changed = [
        f"{name}: sha256 {digest}, {what} {expected}"
        for name, digest in found.items()
        for what, expected in (
            ("published", source.sha256.get(name)),
            ("fetched", recorded[name].sha256 if name in recorded else None),
        )
        if expected not in (None, digest)
    ]
    refused = "" if single else refused_content(source, folder)
    gone = [name for name in recorded if name not in found]
    patterns = () if single else chosen.missing
    return WeightReport(
        source=source.name,
        place=str(place.path),
        origin=place.origin,
        files=found,
        published=tuple(name for name, digest in found.items() if source.sha256.get(name) == digest),
        recorded=tuple(
            name for name, digest in found.items() if name in recorded and recorded[name].sha256 == digest
        ),
        unknown=tuple(name for name in found if name not in source.sha256 and name not in recorded),
        missing=tuple(dict.fromkeys([*gone, *(pattern for pattern in patterns if pattern not in gone)])),
        changed=tuple([refused, *changed] if refused else changed),
    )
