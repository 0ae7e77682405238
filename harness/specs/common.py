"""Words that several hooks share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Averaging = Literal["image", "point", "category-image", "category-point"]
"""The average that makes one number of a slice's pairs.

`image` is the mean of the pairs' shares of correct points, `point` is correct points of all pairs over points
of all pairs. Those of `category-` do the same for the pairs of each category, and then take the mean over the
categories that have pairs in the slice; pairs without a category count as one category more.
"""

AVERAGINGS: tuple[Averaging, ...] = ("image", "point", "category-image", "category-point")

Scope = Literal["dataset", "category", "image", "pair"]
"""The scope of an output: all that the output depends on.

A feature extractor's scope is `image`, `category` or `pair`; a prompt's may also be `dataset`, one prompt for
all images.
"""

Threshold = Literal["box", "image", "points"]
"""The length that PCK's alpha multiplies, measured in the protocol's frame.

The longer side of the target's box, the longer side of the target image, or the larger extent of the target's
valid points.
"""

NO_PROMPT = "none"
"""Name of the prompt of a method that takes none."""

Scalar = str | int | float | bool | None

Files = tuple[str | Path, ...] | Callable[[Mapping[str, Scalar]], Iterable[str | Path]]
"""Files, or whole folders, that code of a plugin reads by itself, such as a checkpoint.

Paths as `open` takes them, or a function of the parameters (a localizer's options) that returns them.
"""


@dataclass(frozen=True)
class RemoteFile:
    """A file on the network that belongs to a dataset or a weight source.

    Attributes:
        url: the official address.
        path: its path below its owner's folder; for an archive, the folder to unpack it in ("." for the
            owner's own).
        unpack: whether it is an archive (.zip, .tar.gz).
        sha256: expected hash where one is known; otherwise the file's own hash is recorded beside it.
        strip: number of leading folders of the archive's members to drop.
        provides: a path below the owner's folder that exists once this file has been fetched and unpacked.
        unpacked_bytes: most bytes that come out of an archive, of 4,096 for each file at least; None for the
            usual bound, 50 times its own size and 256 MB at least.
    """

    url: str
    path: str
    unpack: bool = False
    sha256: str | None = None
    strip: int = 0
    provides: str = ""
    unpacked_bytes: int | None = None
