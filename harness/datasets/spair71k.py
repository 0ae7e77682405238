"""SPair-71k (Min et al., 2019) in its official layout.

`Layout/large/{trn,val,test}.txt` lists pair names, one a line; `PairAnnotation/<split>/<name>.json` holds a
pair's points, boxes and difficulty labels; pictures are `JPEGImages/<category>/<name>`; masks, which some
trainings read, are `Segmentation/<category>/<name>.png`. `ImageAnnotation/<category>/<name>.json` holds all
points of a picture, also those that the other picture of a pair lacks. Nothing else is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from harness.citations import SPAIR_71K
from harness.datasets.checks import Box
from harness.datasets.decoding import decode_classes
from harness.datasets.images import ImageFile
from harness.datasets.lists import (
    VOC_CATEGORIES,
    find_picture,
    missing_dataset,
    naming_file,
    read_annotation,
    read_text,
)
from harness.datasets.spair71k_symmetry import MIRROR_PARTNERS, SYMMETRIC_KEYPOINTS
from harness.datasets.values import box_of, level_of, names_of, points_of, size_of, text_of
from harness.errors import DataError
from harness.frames import Size
from harness.specs import DatasetSpec, ImagePair, ImageSource, RemoteFile, Scalar

LABELS = ("viewpoint_variation", "scale_variation", "truncation", "occlusion", "mirror")
"""The difficulty labels that become slices of a score."""

# The official name of the training split is `trn`.
_FOLDERS = {"train": "trn", "trn": "trn", "val": "val", "test": "test"}


class SPair71k:
    """One split. Pairs come in the order of the official list (a `PairDataset`)."""

    def __init__(self, folder: Path, split: str) -> None:
        self._split = _FOLDERS[split]
        layout = folder / "Layout" / "large" / f"{self._split}.txt"
        if not layout.is_file():
            raise missing_dataset(SPEC, folder, layout)
        self.pair_ids: Sequence[str] = tuple(read_text(layout).split())
        self._read_from(folder / "PairAnnotation" / self._split, folder, folder / "ImageAnnotation")

    def _read_from(self, annotations: Path, pictures: Path, image_annotations: Path | None = None) -> None:
        """Sets where to read: the folder of the pairs' files, the one with pictures and masks, and that of
        the pictures' own files, for a dataset that has them.
        """
        self._annotations, self._pictures = annotations, pictures
        self._image_annotations = image_annotations
        # A picture is in some fifty pairs: looked for once.
        self._image = lru_cache(maxsize=None)(self._find_image)
        self._keypoints = lru_cache(maxsize=None)(self._read_keypoints)

    def __len__(self) -> int:
        return len(self.pair_ids)

    def __getitem__(self, index: int) -> ImagePair:
        """Pair number `index`, read from its own file. Raises `DataError` that names the file."""
        pair_id = self.pair_ids[index]
        # Where a file's name cannot have a colon, programs that unpack put a low line there.
        names = [f"{name}.json" for name in (pair_id, pair_id.replace(":", "_"))]
        path = find_picture(self._annotations, names)
        annotation = read_annotation(path)
        with naming_file(path):
            return self._pair(pair_id, annotation)

    def masks(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Pixels of the objects in pair number `index` (a `MaskedDataset`).

        Raises `DataError` where a mask is missing, damaged or of another size than its picture.
        """
        pair = self[index]
        return (
            self._read_mask(pair.category, pair.source, pair.source_size),
            self._read_mask(pair.category, pair.target, pair.target_size),
        )

    def _read_mask(self, category: str, image: ImageSource, size: Size) -> np.ndarray:
        stem = image.name.removeprefix(f"{category}-")
        path = self._pictures / "Segmentation" / category / f"{stem}.png"
        classes = decode_classes(path)
        if classes.shape != (size.height, size.width):
            shape = f"{classes.shape[1]} x {classes.shape[0]}"
            raise DataError(
                f"{path}: is {shape}, its picture {size.width} x {size.height}; fetch the dataset again"
            )
        if category not in VOC_CATEGORIES:
            raise DataError(f"{path}: '{category}' is no category of VOC, whose numbers masks have")
        # Numbers are VOC's, from 1.
        shown: np.ndarray = classes == VOC_CATEGORIES.index(category) + 1
        return shown

    def _pair(self, pair_id: str, annotation: Any) -> ImagePair:
        """Reads an annotation. Raises `KeyError` and `ValueError`."""
        if not isinstance(annotation, dict):
            raise ValueError("is not an object in braces")
        category = text_of(annotation["category"], "category")
        # A pair without one of the labels, or with null for it, is in none of its slices.
        labels: dict[str, Scalar] = {}
        for label in LABELS:
            labels[label] = level_of(annotation.get(label), label)
        keypoint_ids = names_of(annotation["kps_ids"], "kps_ids")
        source = self._image(category, text_of(annotation["src_imname"], "src_imname"))
        target = self._image(category, text_of(annotation["trg_imname"], "trg_imname"))
        return ImagePair(
            pair_id=pair_id,
            source=source,
            target=target,
            # The official files give width, height and channels.
            source_size=size_of(annotation["src_imsize"], "src_imsize"),
            target_size=size_of(annotation["trg_imsize"], "trg_imsize"),
            category=category,
            source_points=points_of(annotation["src_kps"], "src_kps"),
            target_points=points_of(annotation["trg_kps"], "trg_kps"),
            keypoint_ids=keypoint_ids,
            source_keypoints=self._all_keypoints(source, category, keypoint_ids),
            target_keypoints=self._all_keypoints(target, category, keypoint_ids),
            source_box=_box(annotation, "src_bndbox"),
            target_box=_box(annotation, "trg_bndbox"),
            labels=labels,
        )

    def _all_keypoints(
        self, image: ImageSource, category: str, shared: tuple[str, ...]
    ) -> tuple[str, ...] | None:
        """Names of all keypoints of a picture; None where no file says it. Raises `DataError`."""
        names = self._keypoints(category, image.name.removeprefix(f"{category}-"))
        # What a pair shares is there, whatever the picture's own file says.
        return None if names is None else tuple(dict.fromkeys([*shared, *names]))

    def _read_keypoints(self, category: str, stem: str) -> tuple[str, ...] | None:
        """Names of the keypoints that a picture's own file places; None where there is no such file.

        Raises `DataError` where the file is damaged.
        """
        if self._image_annotations is None:
            return None
        path = self._image_annotations / category / f"{stem}.json"
        if not path.is_file():
            return None
        annotation = read_annotation(path)
        points = annotation.get("kps") if isinstance(annotation, dict) else None
        if not isinstance(points, dict):
            raise DataError(f"{path}: kps is missing or no object in braces; fetch the dataset again")
        return tuple(name for name, point in points.items() if point is not None)

    def _find_image(self, category: str, file_name: str) -> ImageFile:
        folder = self._pictures / "JPEGImages" / category
        return ImageFile(f"{category}-{Path(file_name).stem}", find_picture(folder, [file_name]))


def _box(annotation: dict[str, Any], key: str) -> Box:
    """The corners of a box. Raises `ValueError` where it is null: the dataset's threshold is its length."""
    corners = box_of(annotation[key], key)
    if corners is None:
        raise ValueError(f"{key} is null; it must be [x1, y1, x2, y2] in pixels")
    return corners


SPEC = DatasetSpec(
    name="spair-71k",
    open=SPair71k,
    home="SPair-71k",
    splits=("test", "val", "train", "trn"),
    threshold="box",
    symmetric_keypoints=SYMMETRIC_KEYPOINTS,
    mirror_partners=MIRROR_PARTNERS,
    counts={
        "train": {"pairs": 53_340},
        "trn": {"pairs": 53_340},
        "val": {"pairs": 5_384},
        "test": {"pairs": 12_234},
    },
    files=(
        RemoteFile(
            url="https://cvlab.postech.ac.kr/research/SPair-71k/data/SPair-71k.tar.gz",
            path=".",
            unpack=True,
            strip=1,
            provides="Layout/large/test.txt",
        ),
    ),
    citation=SPAIR_71K,
    description=(
        "18 categories of PASCAL photos with strong changes of view and scale; threshold: the target's box"
    ),
)
