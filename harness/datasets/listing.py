"""Rows of a list of pictures, to be filled in with texts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from harness.datasets.splits import SplitIndex, picture_identity


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
