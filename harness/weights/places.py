"""Finds weights on this machine: beside a plugin, in the folder of `bench weights fetch`, or in the cache of
the Hugging Face.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.downloads.holding import FETCHING
from harness.errors import UserError
from harness.files import with_home
from harness.specs import WeightSource
from harness.weights.content import files_at, patterns_of, select_files_in
from harness.weights.named import own_advice
from harness.weights.record import read_record

Kind = Literal["package", "fetched", "hub-cache", "own"]
"""Who put the weights there: a package, `bench weights fetch` (or the user, in the same
folder), another tool of the Hugging Face, or the user elsewhere, named with --weights NAME=PATH."""


@dataclass(frozen=True)
class WeightLocation:
    """Location of a source's weights.

    Attributes:
        path: handed to an extractor: a folder, or a file where the source is a single file.
        origin: `owner/name@commit` or address that the weights came from; empty where unknown.
    """

    path: Path
    kind: Kind
    origin: str = ""

    @property
    def folder(self) -> Path:
        """The path itself, or the folder that the file lies in."""
        return self.path.parent if self.path.is_file() else self.path


def weights_root(root: Path | None = None) -> Path:
    """Folder of everything fetched: the one named, else BENCH_WEIGHTS, else the user's cache folder."""
    named = root or os.environ.get("BENCH_WEIGHTS")
    if named:
        return with_home(named)
    return _cache_home() / "correspondence-bench" / "weights"


def weights_folder(source: WeightSource, root: Path | None = None) -> Path:
    """A source's own folder."""
    return weights_root(root) / source.name


def find_weights(source: WeightSource, root: Path | None = None) -> WeightLocation:
    """Finds a source on this machine, without the network.

    Raises:
        UserError: the source is missing, or a part of it. One line that says what to get and where to put it.
    """
    if source.locate:
        path = source.locate()
        if not path.exists():
            raise UserError(
                f"weights {source.name}: {path} does not exist; "
                f"give their path with --weights {source.name}=PATH"
            )
        return WeightLocation(path, "package")
    if location := find_fetched(source, root):
        return location
    # Other tools may have downloaded the same repository: gigabytes that need not come twice.
    if location := find_snapshot(source):
        return location
    raise UserError(missing_message(source, root))


def find_fetched(source: WeightSource, root: Path | None = None) -> WeightLocation | None:
    """Finds a source in its own folder; None where it is not there, or not whole.

    Raises `UserError` for a damaged record, or a folder that the source refuses.
    """
    folder = weights_folder(source, root)
    if not _is_complete(source, folder):
        return None
    record = read_record(folder)
    return WeightLocation(folder / source.file, "fetched", record.origin if record else "")


def missing_message(source: WeightSource, root: Path | None = None) -> str:
    """One line for weights that are missing: what to get, and where to put it."""
    folder = weights_folder(source, root)
    lacking = select_files_in(source, folder).missing
    state = f"{folder} lacks {', '.join(lacking)}" if folder.is_dir() and lacking else "not on this machine"
    if (folder / FETCHING).exists():
        state = (
            f"a fetch into {folder} broke off or still goes on "
            f"(delete {folder / FETCHING} if you have put the files there yourself)"
        )
    return f"weights {source.name}: {state}; {remedy(source, root)}"


def remedy(source: WeightSource, root: Path | None = None) -> str:
    """The ways to get a source, as the end of a message."""
    by_hand = manual_remedy(source, root)
    origins = ", else ".join([*source.mirrors, *(file.url for file in source.downloads)])
    if not origins:
        # Files that no program can fetch, such as those on a drive behind a page of questions.
        return f"{source.advice}; {by_hand}" if source.advice else by_hand
    advice = f" ({source.advice})" if source.advice else ""
    return f"'bench weights fetch {source.name}' gets {origins}{advice}, or {by_hand}"


def manual_remedy(source: WeightSource, root: Path | None = None) -> str:
    """The way to bring files that the user has already, as the end of a message."""
    # Of alternatives, `a|b`, the preferred one.
    names = [pattern.split("|", maxsplit=1)[0] for pattern in patterns_of(source)]
    content = f"a folder with {', '.join(names)}" if names else "the files"
    path = weights_folder(source, root) / source.file
    return f"put {source.file or content} at {path}, or {own_advice(source)}"


def _is_complete(source: WeightSource, folder: Path) -> bool:
    """True where no file is missing. A source without patterns is complete only once a fetch has recorded it.

    Raises `UserError` where the folder is what the source refuses.
    """
    chosen = select_files_in(source, folder)
    # Some files of a pattern do not show that others are still to come.
    if (folder / FETCHING).exists():
        return False
    if chosen.missing or not chosen.files or not (patterns_of(source) or read_record(folder)):
        return False
    files_at(source, folder)  # for its error: going on to another place would hide the refused folder
    return True


def _snapshots(source: WeightSource) -> Iterator[tuple[str, Path]]:
    """Yields (`owner/name@commit`, folder) of a source's repositories in the Hugging Face cache.

    The commit that `main` points to comes first.
    """
    for mirror in source.mirrors:
        repository, _, revision = mirror.partition("@")
        folder = hub_cache() / f"models--{repository.replace('/', '--')}"
        reference = folder / "refs" / (revision or "main")
        # A branch or tag has a file with its commit; a commit is its own name.
        commit = revision
        if reference.is_file():
            commit = reference.read_text(encoding="utf-8", errors="replace").strip()
        names = sorted(snapshot.name for snapshot in (folder / "snapshots").glob("*"))
        # Stable: the commit comes first, the others follow in order of name.
        names.sort(key=lambda name: name != commit)
        for name in names:
            # Any snapshot will do where no revision is asked for.
            if name == commit or not revision:
                yield f"{repository}@{name}", folder / "snapshots" / name


def find_snapshot(source: WeightSource) -> WeightLocation | None:
    """Finds a source in the Hugging Face cache; None where it is not there, or not whole."""
    for origin, snapshot in _snapshots(source):
        if _is_complete(source, snapshot):
            return WeightLocation(snapshot / source.file, "hub-cache", origin)
    return None


def snapshot_in(source: WeightSource, folder: Path) -> Path:
    """The snapshot in a repository's folder of the Hugging Face cache; any other path as it is.

    Raises `UserError` where there are several, none of which is `main`.
    """
    snapshots = folder / "snapshots"
    # A link may have any name, and so may a copy, which the cache's other folders give away.
    is_repository = folder.resolve().name.startswith("models--") or (folder / "refs").is_dir()
    if not is_repository or not snapshots.is_dir():
        return folder
    reference = folder / "refs" / "main"
    names = sorted(path.name for path in snapshots.iterdir() if path.is_dir())
    if reference.is_file():
        commit = reference.read_text(encoding="utf-8", errors="replace").strip()
        names = [commit] if commit in names else names
    if len(names) != 1:
        held = f"one of {', '.join(names)}" if names else "none"
        raise UserError(
            f"weights {source.name}: {folder} is a repository of the Hugging Face cache, with {len(names)} "
            f"snapshots; {own_advice(source, f'{snapshots}/COMMIT')} ({held})"
        )
    return snapshots / names[0]


def hub_cache() -> Path:
    """The folder in which tools of the Hugging Face keep repositories, by their environment variables."""
    if named := os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE"):
        return with_home(named)
    if named := os.environ.get("HF_HOME"):
        return with_home(named) / "hub"
    return _cache_home() / "huggingface" / "hub"


def _cache_home() -> Path:
    named = os.environ.get("XDG_CACHE_HOME")
    if named:
        return with_home(named)
    try:
        return Path.home() / ".cache"
    except RuntimeError as error:
        raise UserError("the user's home is not known; set HOME, or BENCH_WEIGHTS to a folder") from error
