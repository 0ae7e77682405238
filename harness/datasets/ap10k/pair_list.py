"""The file that holds AP-10K's pairs: written by `bench data prepare ap-10k`, checked when it is read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.datasets.ap10k.annotations import (
    ADVICE,
    FILES,
    Animal,
    annotations_digest,
    picture_folder,
    read_animals,
)
from harness.datasets.ap10k.pair_rule import RULE, Pairs, make_pairs
from harness.datasets.lists import find_picture, is_file, read_annotation
from harness.errors import DataError, UserError
from harness.files import put_file
from harness.messages import counted

NAME = "bench-pairs.json"


@dataclass(frozen=True)
class PairList:
    """A list that is whole.

    Attributes:
        sha256: of the pairs of all splits: two lists of one hash have the same pairs.
        annotations: sha256 of the annotations that it was made of.
        splits: split -> pairs.
    """

    sha256: str
    annotations: str
    splits: Mapping[str, Pairs]


def pairs_digest(splits: Mapping[str, Pairs]) -> str:
    """sha256 over pairs."""
    text = json.dumps(splits, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def prepare(folder: Path) -> Sequence[str]:
    """Makes the list of the official annotations in a folder; returns lines that tell of it.

    Raises:
        UserError: an official file is missing or damaged, or the list cannot be written.
    """
    animals = read_animals(folder)
    splits = make_pairs(animals)
    if not any(splits.values()):
        raise UserError(
            f"dataset ap-10k: {counted(len(animals), 'usable picture')} in {folder / 'annotations'}, "
            "and no pair of them; unpack ap-10k.zip again"
        )
    digest, annotations = pairs_digest(splits), annotations_digest(animals)
    content = {"dataset": "ap-10k", "rule": RULE, "sha256": digest, "annotations": annotations}
    text = json.dumps({**content, "splits": splits}, indent=1, sort_keys=True)
    put_file(folder / NAME, f"{text}\n".encode())
    numbers = [f"{split} {sum(map(len, pairs.values())):,}" for split, pairs in splits.items()]
    return (
        f"{folder / NAME} written, rule {RULE}: pairs {', '.join(numbers)}",
        f"sha256 of the pairs {digest}",
        f"sha256 of the annotations of {counted(len(animals), 'picture')} {annotations}",
        *_missing_lines(folder, animals),
    )


def _missing_lines(folder: Path, animals: Mapping[str, Animal]) -> list[str]:
    """A line where pictures are not there: no pair depends on them, and no run does without."""
    paths = [find_picture(picture_folder(folder), [animal.file_name]) for animal in animals.values()]
    missing = [path for path in paths if not is_file(path)]
    if not missing:
        return []
    return [f"{len(missing):,} of {len(paths):,} pictures are not there, the first {missing[0]}; {ADVICE}"]


def read_pair_list(folder: Path, command: str) -> PairList:
    """Reads the list in a folder.

    Args:
        command: what makes it, for messages.

    Raises:
        UserError: it is missing, was changed, or is another rule's.
    """
    path = folder / NAME
    if not path.is_file():
        lacking = [folder / name for name in FILES if not (folder / name).is_file()]
        if lacking:
            raise UserError(f"dataset ap-10k: {lacking[0]} is not there; {ADVICE}, then give '{command}'")
        raise UserError(f"dataset ap-10k: {path} is not there; '{command}' makes it")
    try:
        content = read_annotation(path, f"'{command}' makes it anew")
    except DataError as error:
        raise UserError(str(error)) from error
    problem = _problem(content)
    if problem:
        raise UserError(f"{path}: {problem}; '{command}' makes it anew")
    return PairList(content["sha256"], content["annotations"], content["splits"])


def _problem(content: Any) -> str:
    """The reason why a file is no list of this rule, as it was written; empty where it is one."""
    texts = [content.get(key) for key in ("sha256", "annotations")] if isinstance(content, dict) else []
    if not texts or not all(isinstance(text, str) for text in texts):
        return "is no list of AP-10K's pairs"
    if content.get("rule") != RULE:
        return f"was made by rule {content.get('rule')!r:.40}, and this version has rule {RULE}"
    # The hash covers the shape as well: what it belongs to was written by `prepare`.
    if not isinstance(content.get("splits"), dict) or pairs_digest(content["splits"]) != content["sha256"]:
        return "its pairs are not those that it was written with"
    return ""
