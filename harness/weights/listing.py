"""What a hub answers of a repository's files, read without trusting it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from harness.downloads.holding import FETCHING
from harness.messages import printable
from harness.weights.content import RECORD

_SHA256 = re.compile("[0-9a-f]{64}")

_LONGEST_PART = 200
"""Bytes of one part of a file's name: 255 on most disks, less what is added while it is downloaded."""

_LONGEST_NAME = 1000

_DEEPEST = 64

_LONGEST_SHOWN = 80


@dataclass(frozen=True)
class HubFile:
    """A file of a repository.

    Attributes:
        size: bytes, where the hub says.
        sha256: of its content; empty for small files, for which the hub knows git's hash only.
        blob: git's hash of its content.
    """

    size: int | None
    sha256: str
    blob: str

    def is_same(self, path: Path, sha256: str) -> bool:
        """True where a file on disk, with this sha256, is this file of the repository."""
        if self.size not in (None, path.stat().st_size):
            return False
        if self.sha256:
            return sha256 == self.sha256
        return git_hash(path) == self.blob


def listed_files(listing: object) -> tuple[str, dict[str, HubFile]]:
    """The commit and the files of a repository, by the JSON that a hub answers with.

    Raises `ValueError` where it is not what a hub answers.
    """
    if not isinstance(listing, dict):
        raise ValueError("not a JSON object")
    commit, siblings = listing.get("sha"), listing.get("siblings") or []
    if not isinstance(commit, str | None) or not isinstance(siblings, list):
        raise ValueError("no list of files")
    files: dict[str, HubFile] = {}
    for sibling in siblings:
        name = sibling.get("rfilename") if isinstance(sibling, dict) else None
        if not isinstance(name, str):
            raise ValueError(f"a file is called {_short_text(name)}, which is no text")
        files[name] = _listed_file(name, sibling)
    return commit or "", files


def _listed_file(name: str, sibling: dict[str, object]) -> HubFile:
    size, blob, lfs = sibling.get("size"), sibling.get("blobId"), sibling.get("lfs")
    sha256 = lfs.get("sha256") if isinstance(lfs, dict) else None
    if not (size is None or (type(size) is int and size >= 0)):
        raise ValueError(f"file {_short_text(name)} has size {_short_text(size)}")
    if lfs is not None and not (isinstance(sha256, str) and _SHA256.fullmatch(sha256)):
        raise ValueError(f"file {_short_text(name)} has sha256 {_short_text(sha256)}")
    if not isinstance(blob, str | None):
        raise ValueError(f"file {_short_text(name)} has hash {_short_text(blob)}")
    return HubFile(size, sha256 or "", blob or "")


def names_problem(names: Sequence[str]) -> str:
    """What is wrong with the names of files that are wanted of a repository; empty where nothing is.

    A name may lead out of the folder, be that of no file, or stand for another file too.
    """
    by_folded: dict[str, str] = {}
    for name in names:
        problem = _name_problem(name)
        if problem:
            return f"a file {_short_text(name)}, {problem}"
        earlier = by_folded.setdefault(name.casefold(), name)
        if earlier != name:
            return f"both {_short_text(earlier)} and {_short_text(name)}, which are one file on some machines"
    for folded, name in by_folded.items():
        for folder in PurePosixPath(folded).parents:
            if str(folder) in by_folded:
                return f"{_short_text(by_folded[str(folder)])} as a file, and {_short_text(name)} in it"
    return ""


def _name_problem(name: str) -> str:
    """What is wrong with the name of a file of the hub, as the end of a sentence; empty where nothing is."""
    parts = name.split("/")
    problem = ""
    # A backslash or a drive's letter leads elsewhere on Windows.
    if name.startswith("/") or ".." in parts or "\\" in name or re.match("[A-Za-z]:", name):
        problem = "which leads out of the folder"
    elif "" in parts or "." in parts:
        problem = "which is no file's name"
    elif printable(name) != name:
        problem = "whose name has characters that no file should have"
    elif max(len(part.encode()) for part in parts) > _LONGEST_PART or len(name) > _LONGEST_NAME:
        problem = "whose name is too long"
    elif len(parts) > _DEEPEST:
        problem = "which lies in too many folders"
    elif parts[0].casefold() in (RECORD, FETCHING):
        problem = "whose name this program uses itself"
    return problem


def git_hash(path: Path) -> str:
    """git's hash of a file's content, as the hub gives it for files outside of large file storage."""
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def _short_text(value: object) -> str:
    """A name or value of a listing for a message: in quotes, in one line, and not without end."""
    text = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"
