"""PF-PASCAL (Ham et al., 2017) in the layout of the SD4Match release, with the pair lists of Rocco et al.

`{trn,val,test}_pairs.csv` list pairs of `PF-dataset-PASCAL/JPEGImages/<name>.jpg`, a class number (VOC order,
from 1) and, for training, a flip flag: a row with flip 1 is the same pair with both pictures mirrored. Points
come from `PF-dataset-PASCAL/Annotations/<class>/ <name>.mat` (`kps`, N x 2, NaN where a point is absent;
`bbox`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from harness.datasets.decoding import size_in_pixels
from harness.datasets.images import ImageFile
from harness.datasets.lists import VOC_CATEGORIES, missing_dataset, read_csv
from harness.errors import DataError
from harness.frames import Size
from harness.specs import DatasetSpec, ImagePair, RemoteFile

# The release's training list is `trn_pairs.csv`; `train_pairs.csv` is read as well.
_LISTS = {
    "train": ("trn_pairs.csv", "train_pairs.csv"),
    "trn": ("trn_pairs.csv", "train_pairs.csv"),
    "val": ("val_pairs.csv",),
    "test": ("test_pairs.csv",),
}


class PFPascal:
    """One split. Pairs come in the order of the list (a `PairDataset`)."""

    def __init__(self, folder: Path, split: str) -> None:
        self._folder = folder
        paths = [folder / name for name in _LISTS[split]]
        self._list = next((path for path in paths if path.is_file()), paths[0])
        if not self._list.is_file():
            raise missing_dataset(SPEC, folder, self._list)
        self._rows = read_csv(self._list, ("source_image", "target_image", "class"))
        pair_ids: list[str] = []
        # Numbered, so that ids differ even where a list repeats a pair.
        for number, row in enumerate(self._rows, start=1):
            pair_ids.append(f"{number:06d}-{_describe(row)}")
        self.pair_ids: Sequence[str] = tuple(pair_ids)
        # A picture may be in several pairs: its file is read once.
        self._annotation = lru_cache(maxsize=4096)(read_annotation)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> ImagePair:
        """Pair number `index`. Raises `DataError` that names the file."""
        row = self._rows[index]
        try:
            category = VOC_CATEGORIES[int(row["class"]) - 1]
        except (ValueError, IndexError) as error:
            raise DataError(
                # Rows are counted from 1, and the header is one of them.
                f"{self._list}: row {index + 2}: class '{row['class']}' is not a number from 1 to 20"
            ) from error
        mirror = _is_mirrored(row)
        source = self._image(row["source_image"], category, mirror)
        target = self._image(row["target_image"], category, mirror)
        source_size = size_in_pixels(source.path)
        target_size = size_in_pixels(target.path)
        source_points, source_box = self._points_and_box(source, category, source_size)
        target_points, target_box = self._points_and_box(target, category, target_size)
        if len(source_points) != len(target_points):
            raise DataError(
                f"{self.pair_ids[index]}: {len(source_points)} points in the source "
                f"and {len(target_points)} in the target"
            )
        return ImagePair(
            pair_id=self.pair_ids[index],
            source=source,
            target=target,
            source_size=source_size,
            target_size=target_size,
            category=category,
            source_points=source_points,
            target_points=target_points,
            keypoint_ids=tuple(str(number) for number in range(len(source_points))),
            source_box=source_box,
            target_box=target_box,
        )

    def _image(
        self,
        path: str,
        category: str,
        mirror: bool,
    ) -> ImageFile:
        return ImageFile(f"{category}-{Path(path).stem}-{int(mirror)}", self._folder / path, mirror)

    def _points_and_box(
        self, image: ImageFile, category: str, size: Size
    ) -> tuple[np.ndarray, tuple[float, float, float, float] | None]:
        """Points and box as the picture is used: x -> width - x where it is mirrored, as the SD4Match release
        does.
        """
        annotations = self._folder / "PF-dataset-PASCAL" / "Annotations"
        points, box = self._annotation(annotations / category / f"{image.path.stem}.mat")
        if image.mirror:
            points = np.stack([size.width - points[:, 0], points[:, 1]], axis=1)
            if box:
                # The right edge becomes the left one.
                box = (size.width - box[2], box[1], size.width - box[0], box[3])
        return points, box


def read_annotation(path: Path) -> tuple[np.ndarray, tuple[float, float, float, float] | None]:
    """(N, 2) points, NaN where absent, and the box of a PF-PASCAL `.mat` file. Raises `DataError`."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        content = loadmat(path)
        points = np.asarray(content["kps"], dtype=np.float64).reshape(-1, 2)
        # A box may be absent: the dataset's threshold does not need one.
        corners = np.asarray(content.get("bbox", ()), dtype=np.float64).ravel()
    except OSError as error:
        raise DataError(
            f"{path}: {error.strerror or error}; put the file there or fetch the dataset again"
        ) from error
    except KeyError as error:
        raise DataError(f"{path}: key {error} is missing; fetch the dataset again") from error
    except (MatReadError, ValueError, TypeError, NotImplementedError) as error:
        raise DataError(
            f"{path}: not a MATLAB file with points ({error}); fetch the dataset again"
        ) from error
    box = (corners[0], corners[1], corners[2], corners[3]) if corners.size == 4 else None
    return points, box


def _is_mirrored(row: dict[str, str]) -> bool:
    return (row.get("flip") or "0").strip() not in ("", "0")


def _describe(row: dict[str, str]) -> str:
    source = Path(row["source_image"]).stem
    target = Path(row["target_image"]).stem
    # The flag keeps a pair and its mirror image apart: training lists have both.
    return f"{source}-{target}-{int(_is_mirrored(row))}"


SPEC = DatasetSpec(
    name="pf-pascal",
    open=PFPascal,
    home="pf-pascal",
    splits=("test", "val", "train", "trn"),
    threshold="image",
    counts={
        "train": {"pairs": 2_940, "images": 2_002},
        "val": {"pairs": 308, "images": 521},
        "test": {"pairs": 299, "images": 506, "keypoints": 2_414},
        "trn": {"pairs": 2_940, "images": 2_002},
    },
    files=(
        RemoteFile(
            url="https://www.di.ens.fr/willow/research/proposalflow/dataset/PF-dataset-PASCAL.zip",
            path=".",
            unpack=True,
            provides="PF-dataset-PASCAL/Annotations",
        ),
        RemoteFile(
            url="https://www.robots.ox.ac.uk/~xinghui/sd4match/pf-pascal_image_pairs.zip",
            path=".",
            unpack=True,
            strip=1,
            provides="test_pairs.csv",
        ),
    ),
    description=(
        "20 categories of PASCAL photos; threshold: the target image's longer side. "
        "A third of the test pairs occur in training"
    ),
)
