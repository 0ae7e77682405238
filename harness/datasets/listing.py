"""Rows of a list of pictures, to be filled in with texts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from harness.datasets.splits import MISSING, SplitIndex, picture_identity
from harness.errors import DataError
from harness.messages import counted, one_line


def picture_rows(index: SplitIndex) -> Iterator[tuple[str, str, str, str, str]]:
    """Yields name, an empty text, category, hash and file of each picture that features are computed of.

    The file is empty for a picture that is drawn. A missing picture is left out.
    """
    seen: set[str] = set()
    for pair in index.pairs.values():
        for image in (pair.source, pair.target):
            identity = picture_identity(image)
            if identity in index.pictures and identity not in seen:
                seen.add(identity)
                path = getattr(image, "path", None)
                file = str(path) if isinstance(path, Path) else ""
                yield image.name, "", pair.category, identity, file


def left_out_lines(index: SplitIndex) -> list[str]:
    """Lines on what a list of pictures lacks: missing ones, and those of pairs that cannot be read."""
    title, lines = f"{index.label} {index.split}", []
    missing: dict[str, str] = {}
    for pair in index.pairs.values():
        for image in (pair.source, pair.target):
            if pair.pair_id not in index.excluded and picture_identity(image) == MISSING:
                try:
                    image.identity()
                except DataError as error:
                    missing.setdefault(image.name, one_line(error))
    if missing:
        pictures = counted(len(missing), "picture")
        lines.append(f"{title}: {pictures} left out; the first: {next(iter(missing.values()))}")
    if index.broken:
        pairs = counted(len(index.broken), "pair")
        name, reason = next(iter(index.broken.items()))
        lines.append(
            f"{title}: {pairs} cannot be read, and pictures that no other pair has are left out; "
            f"the first, {name}: {reason}"
        )
    return lines
