"""PF-PASCAL (Ham et al., 2017) in the layout of the SD4Match release, with the pair lists of Rocco et al.

`{trn,val,test}_pairs.csv` list pairs of `PF-dataset-PASCAL/JPEGImages/<name>.jpg`, a class number (VOC order,
from 1) and, for training, a flip flag: a row with flip 1 is the same pair with both pictures mirrored. Points
come from `PF-dataset-PASCAL/Annotations/<class>/<name>.mat` (`kps`, N x 2, NaN where a point is absent;
`bbox`).

Other copies are read as well: lists called `test_pairs_pf_pascal.csv` and the like, beside the pictures or in
`image_pairs`; `JPEGImages` and `Annotations` in the dataset's own folder; lists with bare names of files; and
lists with points (XA, YA, XB, YB), which stand in where the `.mat` files of a pair are not there.

The split `test-reversed` has the pairs of `test` with source and target exchanged: pictures, points, boxes.
Programs that look up points of the target and predict points of the source measure on these, when they are
given the list of `test`; 44 of its 299 pairs occur in both orders.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path, PurePosixPath

import numpy as np

from harness.citations import PF_PASCAL
from harness.datasets.checks import Box, check_box, remembering_sizes
from harness.datasets.images import ImageFile
from harness.datasets.lists import (
    VOC_CATEGORIES,
    find_file,
    find_picture,
    missing_dataset,
    number_entries,
    read_csv,
)
from harness.datasets.mat_file import read_arrays
from harness.datasets.reversal import REVERSED, reverse_pair, unreversed
from harness.datasets.values import read_class_number, read_flag, read_numbers
from harness.errors import DataError
from harness.frames import Size
from harness.messages import counted
from harness.specs import DatasetSpec, ImagePair, RemoteFile

# The release's training list is `trn_pairs.csv`.
_LISTS = {"train": ("trn", "train"), "trn": ("trn", "train"), "val": ("val",), "test": ("test",)}
_REVERSED_TEST = f"test{REVERSED}"
_LIST_NAMES = ("{}_pairs.csv", "{}_pairs_pf_pascal.csv")
_LIST_FOLDERS = ("", "PF-dataset-PASCAL", "image_pairs", "pf-pascal_image_pairs")

_PARTS = ("PF-dataset-PASCAL/{}", "{}", "PF-PASCAL/{}")
"""Where `JPEGImages` and `Annotations` are, below the dataset's folder."""

_POINT_COLUMNS = ("XA", "YA", "XB", "YB")

Points = tuple[np.ndarray, Box | None]
"""(N, 2) points, NaN where absent, and the box where there is one."""


class PFPascal:
    """One split. Pairs come in the order of the list (a `PairDataset`)."""

    def __init__(self, folder: Path, split: str) -> None:
        self._folder = folder
        self._is_reversed = split.endswith(REVERSED)
        names: list[str] = []
        for stem in _LISTS[unreversed(split)]:
            for name in _LIST_NAMES:
                names += [f"{place}/{name.format(stem)}" for place in _LIST_FOLDERS]
        path = find_file(folder, (name.removeprefix("/") for name in names))
        if path is None:
            raise missing_dataset(SPEC, folder, folder / names[0].removeprefix("/"))
        self._list = path
        self._rows = read_csv(path, ("source_image", "target_image", "class"))
        # Numbered, since training lists have a pair and its mirror image; a row that repeats an earlier one
        # has its number.
        numbers = number_entries([_entry(row) for row in self._rows])
        pair_ids = [
            f"{number:06d}-{_describe(row, self._is_reversed)}"
            for number, row in zip(numbers, self._rows, strict=True)
        ]
        self.pair_ids: Sequence[str] = tuple(pair_ids)
        # A picture may be in several pairs: its file is read once.
        self._annotation = lru_cache(maxsize=4096)(read_annotation)
        self._read_size = remembering_sizes()
        self._from_list: set[int] = set()

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def notes(self) -> list[str]:
        """A line on pairs whose points are those of the list, as far as pairs were read."""
        if not self._from_list:
            return []
        pairs = counted(len(self._from_list), "pair has its", "pairs have their")
        return [f"{pairs} points from {self._list}, since their .mat files are missing"]

    def __getitem__(self, index: int) -> ImagePair:
        """Pair number `index`. Raises `DataError` that names the file."""
        row = self._rows[index]
        # Rows are counted from 1, and the header is one of them.
        where = f"{self._list}: row {index + 2}"
        try:
            number = read_class_number(row["class"], "class", len(VOC_CATEGORIES))
            is_mirrored = read_flag(row.get("flip", ""), "flip")
        except ValueError as error:
            raise DataError(f"{where}: {error}; mend the row") from error
        category = VOC_CATEGORIES[number - 1]
        images = [
            self._image(where, row[f"{side}_image"], category, is_mirrored) for side in ("source", "target")
        ]
        sizes = [self._read_size(image.path) for image in images]
        (source_points, source_box), (target_points, target_box) = (
            _as_used(image, size, points)
            for image, size, points in zip(images, sizes, self._points(index, images, category), strict=True)
        )
        pair = ImagePair(
            pair_id=self.pair_ids[index],
            source=images[0],
            target=images[1],
            source_size=sizes[0],
            target_size=sizes[1],
            category=category,
            source_points=source_points,
            target_points=target_points,
            keypoint_ids=tuple(str(number) for number in range(len(source_points))),
            source_box=source_box,
            target_box=target_box,
        )
        return reverse_pair(pair) if self._is_reversed else pair

    def _image(self, where: str, path: str, category: str, is_mirrored: bool) -> ImageFile:
        name = _file_name(path)
        if not name:
            raise DataError(f"{where}: has no name of a picture; mend the row")
        places = [f"{part.format('JPEGImages')}/{name}" for part in _PARTS]
        # The first one is named where none is there: a bare name says nothing of its folder.
        places = [*places, path] if path == name else [path, *places]
        stem = PurePosixPath(name).stem
        return ImageFile(
            f"{category}-{stem}-{int(is_mirrored)}", find_picture(self._folder, places), is_mirrored
        )

    def _points(self, index: int, images: Sequence[ImageFile], category: str) -> list[Points]:
        """The points of both pictures, as annotated."""
        paths: list[Path] = []
        for image in images:
            names = [f"{part.format('Annotations')}/{category}/{image.path.stem}.mat" for part in _PARTS]
            paths.append(find_picture(self._folder, names))
        row = self._rows[index]
        if all(path.exists() for path in paths) or not all(row.get(column) for column in _POINT_COLUMNS):
            return [self._annotation(path) for path in paths]
        stray = [image for image, path in zip(images, paths, strict=True) if not path.exists()]
        self._refuse_other_class(index, stray, category)
        try:
            columns = [read_numbers(row[column], column) for column in _POINT_COLUMNS]
            if len(set(map(len, columns))) > 1:
                raise ValueError(f"{', '.join(_POINT_COLUMNS)} are not of one length")
        except ValueError as error:
            raise DataError(f"{self._list}: row {index + 2}: {error}; mend the row") from error
        points = np.array(columns, dtype=np.float64)
        self._from_list.add(index)
        return [(points[:2].T, None), (points[2:].T, None)]

    def _refuse_other_class(self, index: int, images: Sequence[ImageFile], category: str) -> None:
        """Raises `DataError` where a picture's annotation is there, but of another class than its row says:
        where classes are counted from 0, say.
        """
        for image in images:
            for other in VOC_CATEGORIES:
                names = [f"{part.format('Annotations')}/{other}/{image.path.stem}.mat" for part in _PARTS]
                if other != category and find_file(self._folder, names):
                    number = self._rows[index]["class"]
                    raise DataError(
                        f"{self._list}: row {index + 2}: class {number} is {category}, and "
                        f"{image.path.name} is annotated as {other}; classes are counted from 1"
                    )


def _as_used(image: ImageFile, size: Size, annotated: Points) -> Points:
    """Points and box as the picture is used: x -> width - x where it is mirrored, as the SD4Match release
    does.
    """
    points, box = annotated
    if image.mirror:
        points = np.stack([size.width - points[:, 0], points[:, 1]], axis=1)
        if box:
            # The right edge becomes the left one.
            box = (size.width - box[2], box[1], size.width - box[0], box[3])
    return points, box


def read_annotation(path: Path) -> Points:
    """Points and box of a PF-PASCAL `.mat` file. Raises `DataError`."""
    arrays = read_arrays(path, ("kps", "bbox"))
    points = arrays.get("kps")
    if points is None:
        raise DataError(f"{path}: key 'kps' is missing; fetch the dataset again")
    # MATLAB's empty array has no columns either.
    if points.size == 0:
        points = points.reshape(0, 2)
    if points.shape[1] != 2:
        raise DataError(f"{path}: kps has the shape {points.shape}, not (points, 2); fetch the dataset again")
    # A box may be absent: the dataset's threshold does not need one.
    corners = arrays.get("bbox")
    if corners is None or corners.size == 0:
        return points, None
    return points, check_box(str(path), "bbox", corners.ravel())


def _entry(row: dict[str, str]) -> tuple[str, ...]:
    """All that a row says, with one spelling of its flag."""
    fields = [
        row.get(column, "").strip() for column in ("source_image", "target_image", "class", *_POINT_COLUMNS)
    ]
    return (*fields, _flag(row))


def _describe(row: dict[str, str], is_reversed: bool) -> str:
    source = PurePosixPath(_file_name(row["source_image"])).stem
    target = PurePosixPath(_file_name(row["target_image"])).stem
    if is_reversed:
        source, target = target, source
    # The flag keeps a pair and its mirror image apart: training lists have both.
    return f"{source}-{target}-{_flag(row)}"


def _flag(row: dict[str, str]) -> str:
    """`0` or `1`; `x` where neither stands there, and then the pair cannot be read."""
    try:
        return str(int(read_flag(row.get("flip", ""), "flip")))
    except ValueError:
        return "x"


def _file_name(path: str) -> str:
    """The last part of a path, written with slashes or backslashes."""
    return PurePosixPath(path.replace("\\", "/")).name


SPEC = DatasetSpec(
    name="pf-pascal",
    open=PFPascal,
    home="pf-pascal",
    splits=("test", "val", "train", "trn", _REVERSED_TEST),
    threshold="image",
    counts={
        # 2,940 rows, of which 976 name 488 pairs twice; a pair is scored once, and trained on as often as
        # it is listed.
        "train": {"pairs": 2_452, "images": 2_002},
        "val": {"pairs": 308, "images": 521},
        "test": {"pairs": 299, "images": 506, "keypoints": 2_414},
        "trn": {"pairs": 2_452, "images": 2_002},
        _REVERSED_TEST: {"pairs": 299, "images": 506, "keypoints": 2_414},
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
    citation=PF_PASCAL,
    description=(
        "20 categories of PASCAL photos; threshold: the target image's longer side. "
        "A third of the test pairs occur in training. test-reversed: source and target exchanged"
    ),
)
