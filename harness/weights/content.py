"""The files of a source, and the folders that a source refuses although they look like its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from harness.downloads.holding import FETCHING
from harness.errors import UserError
from harness.files import paths_below
from harness.networks.file_names import similar_names
from harness.networks.json_files import read_object
from harness.specs import Refusal, WeightSource

RECORD = "bench-weights.json"
"""Beside fetched files: their origin and their hashes. See `harness.weights.record`."""


@dataclass(frozen=True)
class FileSelection:
    """Selection of a source's files among those of a folder or repository.

    Attributes:
        files: names, sorted.
        missing: patterns that no file has.
    """

    files: tuple[str, ...]
    missing: tuple[str, ...]


def select_files(source: WeightSource, names: Iterable[str]) -> FileSelection:
    """Selects a source's files by name; all of them for a source without patterns."""
    names = sorted(set(names) - {RECORD, FETCHING})  # they are ours, and not part of what was published
    patterns = patterns_of(source)
    if not patterns:
        return FileSelection(tuple(names), ())
    selected: set[str] = set()
    missing = []
    for pattern in patterns:
        # `a|b`: the first of the alternatives that has its files.
        alternatives = [_match_together(names, alternative) for alternative in pattern.split("|")]
        whole = next((alternative for alternative in alternatives if not alternative.missing), None)
        if whole:
            selected.update(whole.files)
        else:
            missing += _describe_missing(alternatives)
    for pattern in source.optional:
        selected.update(_matching(names, pattern))
    return FileSelection(tuple(sorted(selected)), tuple(missing))


def _match_together(names: Sequence[str], alternative: str) -> FileSelection:
    """Files of an alternative such as `vocab.json&merges.txt`, of which each part must have a file."""
    files: list[str] = []
    missing = []
    for part in alternative.split("&"):
        matching = _matching(names, part)
        files += matching
        if not matching:
            missing.append(part)
    return FileSelection(tuple(files), tuple(missing))


def _describe_missing(alternatives: Sequence[FileSelection]) -> list[str]:
    """The missing part of an alternative that is begun, else the preferred alternatives."""
    for alternative in alternatives:
        if alternative.files:
            return list(alternative.missing)
    # Of the many ways in which tensors may lie there, the usual one says enough.
    preferred = alternatives[:1] if len(alternatives) > 2 else alternatives
    return [" or ".join(" with ".join(alternative.missing) for alternative in preferred)]


def patterns_of(source: WeightSource) -> tuple[str, ...]:
    """Patterns that each must have a file."""
    if source.files or not source.file:
        return source.files
    return (source.file,)


def _matching(names: Iterable[str], pattern: str) -> list[str]:
    # Level by level, so that a star does not reach into another folder.
    levels = pattern.split("/")
    matching = []
    for name in names:
        name_levels = name.split("/")
        if len(name_levels) == len(levels) and all(map(fnmatchcase, name_levels, levels)):
            matching.append(name)
    return matching


def names_in(folder: Path, levels: int | None = None) -> list[str]:
    """Paths of the files below a folder, relative to it, with slashes; links to folders are followed.

    Args:
        levels: of folders that are entered; None for all.
    """
    names: list[str] = []
    for path in paths_below(folder, levels):
        if path.is_file():
            names.append(path.relative_to(folder).as_posix())
    return names


def select_files_in(source: WeightSource, folder: Path) -> FileSelection:
    """Selects a source's files in a folder. A folder that does not exist lacks everything."""
    if not folder.is_dir():
        return select_files(source, ())
    # No deeper than the patterns reach: a user's folder may have a link to a whole disk in it.
    patterns = (*patterns_of(source), *source.optional)
    levels = max(pattern.count("/") for pattern in "|".join(patterns).replace("&", "|").split("|")) + 1
    return select_files(source, names_in(folder, levels if patterns_of(source) else None))


def files_at(source: WeightSource, path: Path) -> dict[str, Path]:
    """Files that a source uses at a path: name -> file.

    Args:
        path: a folder, or a single file, which gets the name that the source has for it.

    Raises:
        UserError: the path lacks a file, or the source refuses it.
    """
    # A single file is taken as it is: without a folder, nothing shows a configuration to refuse.
    if path.is_file():
        if len(source.files) > 1 and not source.file:
            raise UserError(f"weights {source.name}: {path} is a single file; {_folder_advice(source)}")
        return {source.file or path.name: path}
    chosen = select_files_in(source, path)
    if chosen.missing or not chosen.files:
        lacking = ", ".join(chosen.missing) or "any file"
        others = _describe_others(source, path, chosen.missing)
        raise UserError(f"weights {source.name}: {path} lacks {lacking}{others}")
    if refused := content_refusal(source, path):
        raise UserError(f"weights {source.name}: {refused}")
    return {name: path / name for name in chosen.files}


def _folder_advice(source: WeightSource) -> str:
    names = [pattern.split("|", maxsplit=1)[0].replace("&", ", ") for pattern in source.files]
    text = f"expected a folder with {', '.join(names)}"
    return f"{text}; {source.conversion}" if source.conversion else text


def _describe_others(source: WeightSource, folder: Path, missing: Sequence[str]) -> str:
    """Names tensors in formats, or under names, that a source does not read, where they lie in its folder."""
    tensors = [name for name in missing if name.endswith(".safetensors")]
    for name in tensors:
        # Beside the missing file first: another variant of it, such as `*.non_ema.safetensors`.
        for place in dict.fromkeys((PurePosixPath(name).parent, PurePosixPath())):
            if others := similar_names(folder / place):
                return f" (there is {place / others[0]}, which is not read{_advice(source, others[0], name)})"
    return ""


def _advice(source: WeightSource, name: str, wanted: str) -> str:
    """What to do about a file of tensors that is not read, in the place of the wanted one."""
    # `model.non_ema.safetensors` for `model.safetensors`; other names are whole checkpoints.
    if name.endswith(".safetensors") and name.startswith(f"{PurePosixPath(wanted).stem}."):
        return "; rename it if it holds the weights that you want"
    return f"; {source.conversion}" if source.conversion else ""


def name_refusal(source: WeightSource, repository: str) -> str:
    """Reason why a repository, or a folder of its name, is refused; empty where it is not."""
    # Without the owner: anyone's copy of a repository has its name.
    name = PurePosixPath(repository).name.lower()
    for refusal in source.refused:
        if name in refusal.names:
            return f"{repository} is refused: {refusal.why}"
    return ""


def content_refusal(source: WeightSource, folder: Path) -> str:
    """Reason why a folder is refused, by its configuration files; empty where it is not.

    Raises `UserError` for damaged JSON.
    """
    for refusal in source.refused:
        # A refusal without marks is by name alone; it must not refuse every folder.
        if refusal.marks and _has_marks(folder, refusal):
            marks: list[str] = []
            for file, keys in refusal.marks.items():
                marks += [f"{file} says {key} {value}" for key, value in keys.items()]
            return f"{folder} is refused ({', '.join(marks)}): {refusal.why}"
    return ""


def _has_marks(folder: Path, refusal: Refusal) -> bool:
    for file, keys in refusal.marks.items():
        configuration = _configuration(folder / file)
        for key, value in keys.items():
            if configuration.get(key) != value:
                return False
    return True


def _configuration(path: Path) -> Mapping[str, object]:
    """A JSON object's content; empty where the file is missing.

    Raises `UserError` for damaged JSON.
    """
    return read_object(path) if path.exists() else {}
