"""PF-WILLOW (Ham et al., 2016) in the layout of the SD4Match release.

`test_pairs.csv` holds two paths below the dataset's folder and ten points of each image a row: XA1..XA10,
YA1..YA10, XB1..XB10, YB1..YB10. A category is the picture's folder (`car(G)`); thirty of the hundred pictures
recur in a second category.

Other copies are read as well: a list called `test_pairs_pf.csv` or `test_pairs_pf_willow.csv`, and pictures
in `PF-dataset-WILLOW`, `PF-WILLOW` or the dataset's own folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from harness.citations import PF_WILLOW
from harness.datasets.checks import remembering_sizes
from harness.datasets.images import ImageFile
from harness.datasets.lists import find_file, find_picture, missing_dataset, number_entries, read_csv
from harness.datasets.values import read_coordinate
from harness.errors import DataError
from harness.specs import DatasetSpec, ImagePair, RemoteFile

POINTS = 10
_CATEGORIES = (
    *("car(G)", "car(M)", "car(S)", "duck(S)", "motorbike(G)", "motorbike(M)", "motorbike(S)"),
    *("winebottle(M)", "winebottle(wC)", "winebottle(woC)"),
)
_LIST_NAMES = ("{}_pairs.csv", "{}_pairs_pf.csv", "{}_pairs_pf_willow.csv")
_FOLDERS = ("PF-dataset", "PF-dataset-WILLOW", "PF-WILLOW")


class PFWillow:
    """The test split, the only one. Pairs come in the order of the list (a `PairDataset`)."""

    def __init__(self, folder: Path, split: str) -> None:
        self._folder = folder
        names = [name.format(split) for name in _LIST_NAMES]
        places = [f"{place}/{name}" for place in _FOLDERS for name in names]
        path = find_file(folder, [*names, *places])
        if path is None:
            raise missing_dataset(SPEC, folder, folder / names[0])
        self._list = path
        columns = ["imageA", "imageB"]
        for prefix in ("XA", "YA", "XB", "YB"):
            columns += [f"{prefix}{number}" for number in range(1, POINTS + 1)]
        self._rows = read_csv(path, columns)
        # A row that repeats an earlier one has its number.
        numbers = number_entries([tuple(row[column].strip() for column in columns) for row in self._rows])
        pair_ids: list[str] = []
        for number, row in zip(numbers, self._rows, strict=True):
            pair_ids.append(f"{number:06d}-{_name(row['imageA'])}-{_name(row['imageB'])}")
        self.pair_ids: Sequence[str] = tuple(pair_ids)
        self._read_size = remembering_sizes()

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> ImagePair:
        """Pair number `index`. Raises `DataError` that names the row."""
        row = self._rows[index]
        # Rows are counted from 1, and the header is one of them.
        where = f"{self._list}: row {index + 2}"
        source, target = self._image(where, row["imageA"]), self._image(where, row["imageB"])
        return ImagePair(
            pair_id=self.pair_ids[index],
            source=source,
            target=target,
            source_size=self._read_size(source.path),
            target_size=self._read_size(target.path),
            category=_path(row["imageA"]).parent.name,
            source_points=_points(where, row, "A"),
            target_points=_points(where, row, "B"),
            keypoint_ids=tuple(map(str, range(POINTS))),
        )

    def _image(self, where: str, text: str) -> ImageFile:
        path = _path(text)
        if not path.parent.name:
            raise DataError(
                f"{where}: picture '{text}' has no folder, which is its category; "
                "names are such as PF-dataset/car(G)/Cars_006a.png"
            )
        places = [f"{folder}/{path.parent.name}/{path.name}" for folder in (*_FOLDERS, ".")]
        return ImageFile(_name(text), find_picture(self._folder, [text, *places]))


def _points(where: str, row: dict[str, str], image: str) -> np.ndarray:
    """(10, 2) points of one of a row's pictures, NaN where absent."""
    points: list[tuple[float, float]] = []
    try:
        for number in range(1, POINTS + 1):
            x, y = (f"{axis}{image}{number}" for axis in "XY")
            points.append((read_coordinate(row[x], x), read_coordinate(row[y], y)))
    except ValueError as error:
        raise DataError(f"{where}: {error}; fetch the dataset again") from error
    return np.array(points)


def _path(text: str) -> PurePosixPath:
    """A path that is written with slashes or backslashes."""
    return PurePosixPath(text.replace("\\", "/"))


def _name(text: str) -> str:
    """`PF-dataset/car(G)/Cars_006a.png` -> `car(G)-Cars_006a`."""
    # With its folder: the same picture is in several, `car(G)` and `car(M)`.
    picture = _path(text)
    return f"{picture.parent.name}-{picture.stem}"


SPEC = DatasetSpec(
    name="pf-willow",
    open=PFWillow,
    home="pf-willow",
    threshold="points",
    # Without the brackets, which are not words of a prompt.
    prompt_names={category: category.partition("(")[0] for category in _CATEGORIES},
    counts={"test": {"pairs": 900, "images": 100, "keypoints": 9_000}},
    files=(
        RemoteFile(
            url="https://www.di.ens.fr/willow/research/proposalflow/dataset/PF-dataset.zip",
            path=".",
            unpack=True,
            provides="PF-dataset/car(G)",
        ),
        RemoteFile(
            url="https://www.robots.ox.ac.uk/~xinghui/sd4match/test_pairs.csv",
            path="test_pairs.csv",
            provides="test_pairs.csv",
        ),
    ),
    citation=PF_WILLOW,
    description=(
        "900 pairs of 70 photos (100 names in 10 groups: 30 recur), 10 points each; "
        "threshold: the larger extent of the target's points"
    ),
)
