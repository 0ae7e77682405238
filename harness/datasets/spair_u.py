"""SPair-U (Mariotti et al., 2025): other keypoints on the test pictures of SPair-71k.

Its archive holds annotations alone, in the form of SPair-71k's: `PairAnnotation/test/<name>.json` are the
pairs, and `ImageAnnotation` the same points picture by picture. That is not read here: points, boxes, sizes
and labels of a pair are in its own file, and what else a picture shows matters only for symmetric keypoints,
of which no table is known here. (Jamais Vu's program takes points from there, MARCO's from the pairs.)
Pictures and masks are SPair-71k's own: `JPEGImages` in the same folder, as a link or a copy, or in
`SPair-71k` beside it.

The pairs are the files that are there, in order of name. Two published programs differ in that: that of
Jamais Vu reads all files, and MARCO's those that SPair-71k's list of test pairs names as well.
"""

from __future__ import annotations

from pathlib import Path

from harness.citations import SPAIR_U
from harness.datasets.spair71k import SPEC as SPAIR_71K
from harness.datasets.spair71k import SPair71k
from harness.errors import UserError
from harness.specs import DatasetSpec, RemoteFile

_PAIRS = "PairAnnotation/test"

# As the archive is packed, for whom it was unpacked by hand.
_INNER = "datasets/SPair-U"


class SPairU(SPair71k):
    """The pairs of SPair-U, in order of name (a `PairDataset`)."""

    def __init__(self, folder: Path, split: str) -> None:
        self._split = split
        annotations = _find_annotations(folder)
        names = sorted(path.stem for path in annotations.glob("*.json"))
        if not names:
            raise UserError(
                f"dataset {SPEC.name}: {annotations} has no .json file, which each pair is; "
                f"'bench data fetch {SPEC.name}' downloads them"
            )
        self.pair_ids = tuple(map(_pair_id, names))
        self._read_from(annotations, _find_pictures(folder))


def _find_annotations(folder: Path) -> Path:
    for place in (folder / _PAIRS, folder / _INNER / _PAIRS):
        if place.is_dir():
            return place
    raise UserError(
        f"dataset {SPEC.name}: {folder / _PAIRS} is not there; 'bench data fetch {SPEC.name}' downloads the "
        f"annotations, or point --data-root at the folder that holds {SPEC.home}/"
    )


def _find_pictures(folder: Path) -> Path:
    """The folder that holds `JPEGImages`. Raises `UserError` that says which folders lack it."""
    beside = folder.parent / SPAIR_71K.home
    for place in (folder, beside):
        if (place / "JPEGImages").is_dir():
            return place
    raise UserError(
        f"dataset {SPEC.name}: its pictures are those of {SPAIR_71K.name}, and neither "
        f"{folder / 'JPEGImages'} nor {beside / 'JPEGImages'} is there; "
        f"'bench data fetch {SPAIR_71K.name}' downloads them, or link JPEGImages into {folder}"
    )


def _pair_id(stem: str) -> str:
    """The pair that a file is: programs that unpack put a low line where a name cannot have a colon."""
    if ":" in stem:
        return stem
    head, _, category = stem.rpartition("_")
    return f"{head}:{category}" if head else stem


SPEC = DatasetSpec(
    name="spair-u",
    open=SPairU,
    home="SPair-U",
    splits=("test",),
    threshold="box",
    files=(
        RemoteFile(
            url="https://groups.inf.ed.ac.uk/hbilen-data/data/JamaisVuData/SPair-U.zip",
            path=".",
            unpack=True,
            strip=2,
            provides=_PAIRS,
        ),
    ),
    citation=SPAIR_U,
    description=(
        "other keypoints, about 4 a category, on test pictures of spair-71k, whose pictures it needs; "
        "threshold: the target's box"
    ),
)
