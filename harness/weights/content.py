"""Which files are a source's, and which folders only look as if they were."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from harness.errors import UserError
from harness.specs import Refusal, WeightSource

RECORD = "bench-weights.json"
"""Beside fetched files: where they came from and what they hash to. See `harness.weights.record`."""


@dataclass(frozen=True)
class FileSelection:
    """What a source takes of the files that there are.

    Attributes:
        files: names, sorted.
        missing: patterns that no file has.
    """

    files: tuple[str, ...]
    missing: tuple[str, ...]


def select_files(source: WeightSource, names: Iterable[str]) -> FileSelection:
    """Picks a source's files by name; all of them for a source without patterns."""
    there = sorted(set(names) - {RECORD})
    patterns = patterns_of(source)
    if not patterns:
        return FileSelection(tuple(there), ())
    found: set[str] = set()
    missing = []
    for pattern in patterns:
        alternatives = (_matching(there, alternative) for alternative in pattern.split("|"))
        taken = next((names for names in alternatives if names), [])
        found.update(taken)
        if not taken:
            missing.append(pattern.replace("|", " or "))
    for pattern in source.optional:
        found.update(_matching(there, pattern))
    return FileSelection(tuple(sorted(found)), tuple(missing))


def patterns_of(source: WeightSource) -> tuple[str, ...]:
    """Patterns that each must have a file."""
    return source.files or ((source.file,) if source.file else ())


def _matching(names: Iterable[str], pattern: str) -> list[str]:
    parts = pattern.split("/")
    return [
        name
        for name in names
        if len(name.split("/")) == len(parts) and all(map(fnmatchcase, name.split("/"), parts))
    ]


def names_in(folder: Path) -> list[str]:
    """Paths of the files below a folder, relative to it, with slashes."""
    return [file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()]


def select_files_in(source: WeightSource, folder: Path) -> FileSelection:
    """`select_files`, from what lies in a folder. One that does not exist lacks everything."""
    return select_files(source, names_in(folder) if folder.is_dir() else ())


def used_files(source: WeightSource, path: Path) -> dict[str, Path]:
    """Name -> file of what a source uses at a path: a folder, or a file, which goes by the name that the
    source has for it.

    Raises:
        UserError: the path lacks something, or is what the source refuses.
    """
    if path.is_file():
        return {source.file or path.name: path}
    chosen = select_files_in(source, path)
    if chosen.missing or not chosen.files:
        lacking = ", ".join(chosen.missing) or "any file"
        raise UserError(f"weights {source.name}: {path} lacks {lacking}")
    if refused := refused_content(source, path):
        raise UserError(f"weights {source.name}: {refused}")
    return {name: path / name for name in chosen.files}


def refused_name(source: WeightSource, repository: str) -> str:
    """Why a repository, or a folder of its name, is refused; empty where it is not."""
    name = PurePosixPath(repository).name.lower()
    return next(
        (f"{repository} is refused: {refusal.why}" for refusal in source.refused if name in refusal.names), ""
    )


def refused_content(source: WeightSource, folder: Path) -> str:
    """Why a folder is refused, by what its configuration says; empty where it is not. Raises `UserError` for
    damaged JSON.
    """
    for refusal in source.refused:
        if refusal.marks and _has(folder, refusal):
            marks = ", ".join(
                f"{file} says {key} {value}"
                for file, keys in refusal.marks.items()
                for key, value in keys.items()
            )
            return f"{folder} is refused ({marks}): {refusal.why}"
    return ""


def _has(folder: Path, refusal: Refusal) -> bool:
    return all(
        _configuration(folder / file).get(key) == value
        for file, keys in refusal.marks.items()
        for key, value in keys.items()
    )


def _configuration(path: Path) -> Mapping[str, object]:
    """A JSON file's content; nothing for one that is not there. What cannot be read is told by whoever needs
    it.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid JSON ({error}); fetch or copy it again") from error
    return content if isinstance(content, dict) else {}
