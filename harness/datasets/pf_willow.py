"""PF-WILLOW (Ham et al., 2016) in the layout of the SD4Match release.

`test_pairs.csv` holds two paths below the dataset's folder and ten points of each image a row: XA1..XA10,
YA1..YA10, XB1..XB10, YB1..YB10. A category is the picture's folder (`car(G)`); thirty of the hundred pictures
recur in a second category.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from harness.datasets.decoding import size_in_pixels
from harness.datasets.images import ImageFile
from harness.datasets.lists import missing_dataset, read_csv
from harness.errors import DataError
from harness.specs import DatasetSpec, ImagePair, RemoteFile

POINTS = 10
_CATEGORIES = (
    *("car(G)", "car(M)", "car(S)", "duck(S)", "motorbike(G)", "motorbike(M)", "motorbike(S)"),
    *("winebottle(M)", "winebottle(wC)", "winebottle(woC)"),
)


class PFWillow:
    """The test split, the only one. Pairs come in the order of the list (a `PairDataset`)."""

    def __init__(self, folder: Path, split: str) -> None:
        self._folder = folder
        self._list = folder / f"{split}_pairs.csv"
        if not self._list.is_file():
            raise missing_dataset(SPEC, folder, self._list)
        columns = ["imageA", "imageB"]
        for prefix in ("XA", "YA", "XB", "YB"):
            columns += [f"{prefix}{number}" for number in range(1, POINTS + 1)]
        self._rows = read_csv(self._list, columns)
        pair_ids: list[str] = []
        for number, row in enumerate(self._rows, start=1):
            pair_ids.append(f"{number:06d}-{_name(row['imageA'])}-{_name(row['imageB'])}")
        self.pair_ids: Sequence[str] = tuple(pair_ids)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> ImagePair:
        """Pair number `index`. Raises `DataError` that names the row."""
        row = self._rows[index]
        source = ImageFile(_name(row["imageA"]), self._folder / row["imageA"])
        target = ImageFile(_name(row["imageB"]), self._folder / row["imageB"])
        return ImagePair(
            pair_id=self.pair_ids[index],
            source=source,
            target=target,
            source_size=size_in_pixels(source.path),
            target_size=size_in_pixels(target.path),
            category=PurePosixPath(row["imageA"]).parent.name,
            source_points=self._points(index, "A"),
            target_points=self._points(index, "B"),
            keypoint_ids=tuple(map(str, range(POINTS))),
        )

    def _points(self, index: int, image: str) -> np.ndarray:
        row = self._rows[index]
        points: list[tuple[float, float]] = []
        try:
            for number in range(1, POINTS + 1):
                points.append((float(row[f"X{image}{number}"]), float(row[f"Y{image}{number}"])))
            return np.array(points)
        except (TypeError, ValueError) as error:
            raise DataError(f"{self._list}: row {index + 2}: {error}; fetch the dataset again") from error


def _name(path: str) -> str:
    """`PF-dataset/car(G)/Cars_006a.png` -> `car(G)-Cars_006a`."""
    # With its folder: the same picture is in several, `car(G)` and `car(M)`.
    picture = PurePosixPath(path)
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
    description=(
        "900 pairs of 100 photos in 10 groups, 10 points each; "
        "threshold: the larger extent of the target's points"
    ),
)
