"""Getting what a weight source lacks: from the first mirror that has it, or from plain addresses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from harness.downloads.download import DownloadFailed, Progress, discard_download, download, finish_download
from harness.downloads.files import fetch_files
from harness.errors import UserError
from harness.specs import WeightSource
from harness.weights.content import refused_content, refused_name, select_files, select_files_in
from harness.weights.hub import (
    HubFailed,
    HubUnreachable,
    Repository,
    authorization,
    denied_message,
    open_repository,
)
from harness.weights.places import find_weights, manual_remedy, weights_folder
from harness.weights.record import FileRecord, WeightRecord, read_record, write_record
from harness.weights.verify import verify_weights

_DENIED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


@dataclass(frozen=True)
class FetchedWeights:
    """What became of a source.

    Attributes:
        path: where it lies.
        record: where it came from; None for weights that lay elsewhere already.
        new: whether anything was downloaded.
        notes: why earlier mirrors were passed over.
    """

    path: Path
    record: WeightRecord | None
    new: bool
    notes: tuple[str, ...] = ()


def fetch_weights(
    source: WeightSource, root: Path | None, progress: Progress, mirrors: Sequence[str] = ()
) -> FetchedWeights:
    """Gets a source, unless it is there and whole. What is there already, and is the right file, is not
    downloaded again.

    Args:
        mirrors: repositories to try instead of the source's own, as `owner/name` or `owner/name@revision`.

    Raises:
        UserError: there is no way to it, it is not what it should be, or the download broke off (what arrived
            is kept). One line that says what to get and where to put it.
        OSError: a full or read-only disk.
    """
    for mirror in mirrors:
        if refused := refused_name(source, mirror.partition("@")[0]):
            raise UserError(f"weights {source.name}: {refused}")
    if not mirrors and (there := _at_hand(source, root)):
        return there
    if mirrors or source.mirrors:
        return _from_hub(source, mirrors or source.mirrors, root, progress)
    if source.downloads:
        return _from_addresses(source, weights_folder(source, root), progress)
    raise UserError(f"weights {source.name}: there is nothing to download; {manual_remedy(source, root)}")


def _at_hand(source: WeightSource, root: Path | None) -> FetchedWeights | None:
    """What is there and as it should be. Raises `UserError` for what comes with a package and is not
    there.
    """
    if source.locate:
        return FetchedWeights(find_weights(source, root).path, None, new=False)
    try:
        place = find_weights(source, root)
        record = read_record(place.folder) if place.kind == "fetched" else None
    except UserError:  # absent, partial, damaged or refused: all of them are put right by the download
        return None
    # Files that were put there by hand are compared with the hub's, and get a record.
    known = record is not None or place.kind == "hub-cache"
    return (
        FetchedWeights(place.path, record, new=False)
        if known and verify_weights(source, place).whole
        else None
    )


# ----------------------------------------------------------------------------------------------------------------------
# hub


def _from_hub(
    source: WeightSource, mirrors: Sequence[str], root: Path | None, progress: Progress
) -> FetchedWeights:
    folder = weights_folder(source, root)
    notes: list[str] = []
    for mirror in mirrors:
        name, _, revision = mirror.partition("@")
        try:
            repository = open_repository(name, revision or None)
            record = _download(source, repository, folder, progress)
        except HubUnreachable as error:
            elsewhere = f"where there is a network get {', or '.join(mirrors)}"
            raise UserError(
                f"weights {source.name}: {error}; {elsewhere}; {manual_remedy(source, root)}"
            ) from error
        except HubFailed as error:
            notes.append(str(error))
            continue
        write_record(folder, record)
        return FetchedWeights(folder / source.file, record, new=True, notes=tuple(notes))
    raise UserError(f"weights {source.name}: {'; '.join(notes)}; {manual_remedy(source, root)}")


def _download(source: WeightSource, repository: Repository, folder: Path, progress: Progress) -> WeightRecord:
    """Brings the folder to what the repository holds.

    Raises:
        HubFailed: another mirror may be better.
        UserError: the connection broke off; the same command goes on.
    """
    chosen = select_files(source, repository.files)
    if chosen.missing or not chosen.files:
        raise HubFailed(f"{repository.name} lacks {', '.join(chosen.missing) or 'files'}")
    _compare(source, repository, chosen.files)
    headers = authorization()
    # Configurations first: they tell what gigabytes of weights would turn out to be.
    small = [name for name in chosen.files if name.endswith(".json")]
    files = {name: _get(source, repository, name, folder, progress, headers) for name in small}
    if refused := refused_content(source, folder):
        raise HubFailed(f"{repository.name}: {refused}")
    files |= {
        name: _get(source, repository, name, folder, progress, headers)
        for name in chosen.files
        if name not in small
    }
    return WeightRecord.now(source.name, files, repository=repository.name, commit=repository.commit)


def _compare(source: WeightSource, repository: Repository, names: Sequence[str]) -> None:
    """Raises `HubFailed` where the repository says itself that it has another file than the published one."""
    for name in names:
        digest, expected = repository.files[name].sha256, source.sha256.get(name)
        if expected and digest not in ("", expected):
            raise HubFailed(f"{repository.name} has another {name}: sha256 {digest}, expected {expected}")


def _get(
    source: WeightSource,
    repository: Repository,
    name: str,
    folder: Path,
    progress: Progress,
    headers: Mapping[str, str],
) -> FileRecord:
    """One file, checked before it takes its place; what is there already is checked as well."""
    place, file = folder / name, repository.files[name]
    expected = source.sha256.get(name, file.sha256)
    if place.is_file():
        found = FileRecord.of(place)
        if file.is_same(place, found.sha256) and found.sha256 == (expected or found.sha256):
            return found
    try:
        part = download(repository.url(name), place, progress, headers)
    except DownloadFailed as error:
        if error.status is None:  # what has arrived is worth more than another mirror
            raise UserError(f"weights {source.name}: {error}") from error
        raise HubFailed(denied_message(repository.name) if error.status in _DENIED else str(error)) from error
    found = FileRecord.of(part)
    if not file.is_same(part, found.sha256) or found.sha256 != (expected or found.sha256):
        discard_download(part)
        told = (
            f"has sha256 {found.sha256}, expected {expected}"
            if expected
            else f"is not the file that {repository.commit} names"
        )
        raise HubFailed(f"{repository.url(name)} {told}; it was thrown away")
    finish_download(part, place)
    return found


# ----------------------------------------------------------------------------------------------------------------
# addresses


def _from_addresses(source: WeightSource, folder: Path, progress: Progress) -> FetchedWeights:
    list(fetch_files(f"weights {source.name}", source.downloads, folder, progress))
    chosen = select_files_in(source, folder)
    if chosen.missing:
        raise UserError(
            f"weights {source.name}: what was downloaded to {folder} lacks {', '.join(chosen.missing)}"
        )
    files = {name: FileRecord.of(folder / name) for name in chosen.files}
    record = WeightRecord.now(source.name, files, urls=tuple(file.url for file in source.downloads))
    write_record(folder, record)
    return FetchedWeights(folder / source.file, record, new=True)
