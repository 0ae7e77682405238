"""Fetches weights: from the first mirror that has them, or from plain addresses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from harness.downloads.download import (
    Note,
    Progress,
    discard_download,
    download,
    finish_download,
    forget_download,
)
from harness.downloads.files import fetch_files
from harness.downloads.holding import holding
from harness.downloads.http import DownloadFailed
from harness.errors import UserError
from harness.files import writing
from harness.specs import WeightSource
from harness.weights.content import content_refusal, name_refusal, select_files, select_files_in
from harness.weights.hub import (
    HubFailed,
    HubUnreachable,
    Repository,
    authorization,
    check_names,
    login_message,
    open_repository,
)
from harness.weights.places import find_weights, manual_remedy, remedy, weights_folder
from harness.weights.record import FileRecord, WeightRecord, read_record, write_record
from harness.weights.verify import verify_weights

_DENIED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


@dataclass(frozen=True)
class FetchedWeights:
    """Result of fetching a source.

    Attributes:
        path: its folder or file.
        record: its origin and hashes; None for weights that were elsewhere already.
        new: True where anything was downloaded.
        notes: reasons why earlier mirrors were passed over.
        remarks: what else the user should know, one line each, such as that nothing shows whether a file is
            whole.
    """

    path: Path
    record: WeightRecord | None
    new: bool
    notes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def fetch_weights(
    source: WeightSource,
    root: Path | None,
    progress: Progress,
    mirrors: Sequence[str] = (),
) -> FetchedWeights:
    """Fetches a source, unless it is present and complete.

    Files that are right already are not downloaded again.

    Args:
        mirrors: repositories to try instead of the source's own, as `owner/name` or `owner/name@revision`.

    Raises:
        UserError: the source cannot be had, is not the expected one, or the download broke off (what arrived
            is kept). One line that says what to get and where to put it.
        NotWritten: a full or read-only disk.
    """
    # Before anything is downloaded; what a name hides is found by `content_refusal` later.
    for mirror in mirrors:
        if refused := name_refusal(source, mirror.partition("@")[0]):
            raise UserError(f"weights {source.name}: {refused}")
    # A mirror that the user names is asked even where the weights are here: they may want another revision.
    if not mirrors:
        present = _find_present(source, root)
        if present:
            return present
    folder = weights_folder(source, root)
    if mirrors or source.mirrors:
        # A part of the files may look like all of them, to patterns: the folder is marked until all are here.
        made = [each for each in (folder, *folder.parents) if not each.exists()]
        try:
            with holding(folder, lambda: bool(select_files_in(source, folder).files)):
                return _fetch_from_hub(source, mirrors or source.mirrors, root, progress)
        finally:
            for each in made:
                with suppress(OSError):  # not empty, as it should be
                    each.rmdir()
    if source.downloads:
        return _fetch_from_addresses(source, folder, progress)
    raise UserError(f"weights {source.name}: there is nothing to download; {remedy(source, root)}")


def _find_present(source: WeightSource, root: Path | None) -> FetchedWeights | None:
    """Finds a source that is complete and unchanged; None where it has to be fetched.

    Raises `UserError` where the source comes with a package and is missing.
    """
    if source.locate:
        return FetchedWeights(find_weights(source, root).path, None, new=False)
    try:
        location = find_weights(source, root)
        record = read_record(location.folder) if location.kind == "fetched" else None
    except UserError:  # missing, partial, damaged or refused: a download mends all of them
        return None
    # Files that the user has put there have no record: they are compared with the hub's, and get one.
    if record is None and location.kind != "hub-cache":
        return None
    if not verify_weights(source, location).is_whole:
        return None
    return FetchedWeights(location.path, record, new=False)


def _fetch_from_hub(
    source: WeightSource,
    mirrors: Sequence[str],
    root: Path | None,
    progress: Progress,
) -> FetchedWeights:
    folder = weights_folder(source, root)
    notes: list[str] = []
    remarks: list[str] = []
    for mirror in mirrors:
        name, _, revision = mirror.partition("@")
        try:
            repository = open_repository(name, revision or None)
            record = _update_folder(source, repository, folder, progress, remarks.append)
        except HubUnreachable as error:  # the other mirrors are on the same hub
            elsewhere = f"where there is a network get {', or '.join(mirrors)}"
            raise UserError(
                f"weights {source.name}: {error}; {elsewhere}; {manual_remedy(source, root)}"
            ) from error
        except HubFailed as error:
            notes.append(str(error))
            continue
        # Last of all: a source without patterns counts as complete once it has a record.
        write_record(folder, record)
        return FetchedWeights(
            folder / source.file, record, new=True, notes=tuple(notes), remarks=tuple(remarks)
        )
    raise UserError(f"weights {source.name}: {'; '.join(notes)}; {manual_remedy(source, root)}")


def _update_folder(
    source: WeightSource, repository: Repository, folder: Path, progress: Progress, note: Note
) -> WeightRecord:
    """Downloads the files that a folder lacks of a repository, or has otherwise.

    Raises:
        HubFailed: another mirror may be better.
        UserError: the connection broke off; the same command goes on.
    """
    chosen = select_files(source, repository.files)
    if chosen.missing or not chosen.files:
        raise HubFailed(f"{repository.name} lacks {', '.join(chosen.missing) or 'files'}")
    check_names(repository, chosen.files)
    _check_published(source, repository, chosen.files)
    if repository.name in {mirror.partition("@")[0] for mirror in source.mirrors}:
        _check_whole(source, repository, chosen.files)
    headers = authorization()
    # Configurations first: they may show that the gigabytes of weights are the wrong ones.
    files: dict[str, FileRecord] = {}
    for name in chosen.files:
        if name.endswith(".json"):
            files[name] = _fetch_file(source, repository, name, folder, progress, headers, note)
    if refused := content_refusal(source, folder):
        raise HubFailed(f"{repository.name}: {refused}")
    for name in chosen.files:
        if name not in files:
            files[name] = _fetch_file(source, repository, name, folder, progress, headers, note)
    return WeightRecord.now(source.name, files, repository=repository.name, commit=repository.commit)


def _check_published(source: WeightSource, repository: Repository, names: Sequence[str]) -> None:
    """Raises `HubFailed` where the repository itself lists another hash than the published one."""
    for name in names:
        digest = repository.files[name].sha256  # empty for small files: they are checked once they are here
        expected = source.sha256.get(name)
        if expected and digest not in ("", expected):
            raise HubFailed(f"{repository.name} has another {name}: sha256 {digest}, expected {expected}")


def _check_whole(source: WeightSource, repository: Repository, names: Sequence[str]) -> None:
    """Raises `HubFailed` where a known mirror lacks a published file, and has another variant."""
    for name in source.sha256:
        if name not in names:
            raise HubFailed(f"{repository.name} has no {name}, which was published")


def _fetch_file(
    source: WeightSource,
    repository: Repository,
    name: str,
    folder: Path,
    progress: Progress,
    headers: Mapping[str, str],
    note: Note,
) -> FileRecord:
    """Fetches one file, unless it is there and right; it is checked before it takes its place."""
    path = folder / name
    file = repository.files[name]
    # The hash that the authors published comes before what a mirror says of its own file.
    expected = source.sha256.get(name, file.sha256)
    if path.is_file():
        record = FileRecord.of(path)
        if file.is_same(path, record.sha256) and expected in ("", record.sha256):
            forget_download(path)
            return record
    try:
        part = download(repository.url(name), path, progress, headers, note=note, is_checked=True)
    except DownloadFailed as error:
        if error.status is None:  # what has arrived is worth more than another mirror
            raise UserError(f"weights {source.name}: {error}") from error
        reason = login_message(repository.name) if error.status in _DENIED else str(error)
        raise HubFailed(reason) from error
    with writing(part):  # a folder that is taken away meanwhile
        record = FileRecord.of(part)
    if not file.is_same(part, record.sha256) or expected not in ("", record.sha256):
        discard_download(part)
        problem = f"is not the file that {repository.commit} names"
        if expected:
            problem = f"has sha256 {record.sha256}, expected {expected}"
        raise HubFailed(f"{repository.url(name)} {problem}; it was thrown away")
    finish_download(part, path)
    return record


def _fetch_from_addresses(source: WeightSource, folder: Path, progress: Progress) -> FetchedWeights:
    remarks: list[str] = []
    # Each file is fetched when the next is asked for.
    for file in fetch_files(f"weights {source.name}", source.downloads, folder, progress):
        remarks += file.notes
    chosen = select_files_in(source, folder)
    if chosen.missing:
        raise UserError(
            f"weights {source.name}: what was downloaded to {folder} lacks {', '.join(chosen.missing)}"
        )
    files = {name: FileRecord.of(folder / name) for name in chosen.files}
    record = WeightRecord.now(source.name, files, urls=tuple(file.url for file in source.downloads))
    write_record(folder, record)
    return FetchedWeights(folder / source.file, record, new=True, remarks=tuple(remarks))
