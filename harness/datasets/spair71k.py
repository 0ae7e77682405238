"""SPair-71k (Min et al., 2019) in its official layout.

`Layout/large/{trn,val,test}.txt` lists pair names, one a line; `PairAnnotation/<split>/<name>.json` holds a
pair's points, boxes and difficulty labels; pictures are `JPEGImages/<category>/<name>`. Nothing else is read.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.datasets.images import ImageFile
from harness.datasets.lists import missing_dataset, read_text
from harness.errors import DataError
from harness.frames import Size
from harness.specs import DatasetSpec, ImagePair, RemoteFile, Scalar

LABELS = ("viewpoint_variation", "scale_variation", "truncation", "occlusion", "mirror")
"""The difficulty labels that become slices of a score."""

# The official name of the training split is `trn`.
_FOLDERS = {"train": "trn", "trn": "trn", "val": "val", "test": "test"}


class SPair71k:
    """One split. Pairs come in the order of the official list (a `PairDataset`)."""

    def __init__(self, folder: Path, split: str) -> None:
        self._folder = folder
        self._split = _FOLDERS[split]
        layout = folder / "Layout" / "large" / f"{self._split}.txt"
        if not layout.is_file():
            raise missing_dataset(SPEC, folder, layout)
        self.pair_ids: Sequence[str] = tuple(read_text(layout).split())

    def __len__(self) -> int:
        return len(self.pair_ids)

    def __getitem__(self, index: int) -> ImagePair:
        """Pair number `index`, read from its own file. Raises `DataError` that names the file."""
        path = self._folder / "PairAnnotation" / self._split / f"{self.pair_ids[index]}.json"
        try:
            return self._pair(self.pair_ids[index], json.loads(read_text(path)))
        except json.JSONDecodeError as error:
            raise DataError(f"{path}: not valid JSON ({error}); fetch the dataset again") from error
        except KeyError as error:
            raise DataError(f"{path}: key {error} is missing; fetch the dataset again") from error
        except (TypeError, ValueError) as error:  # lists where numbers should be, or of unequal lengths
            raise DataError(f"{path}: {error}; fetch the dataset again") from error

    def _pair(self, pair_id: str, annotation: dict[str, Any]) -> ImagePair:
        category = str(annotation["category"])
        source_points = _points(annotation["src_kps"])
        target_points = _points(annotation["trg_kps"])
        names = tuple(str(name) for name in annotation["kps_ids"])
        if not len(source_points) == len(target_points) == len(names):
            raise ValueError(
                f"src_kps, trg_kps and kps_ids have {len(source_points)}, {len(target_points)} "
                f"and {len(names)} entries"
            )
        # A pair without one of the labels is in none of its slices.
        present = [label for label in LABELS if label in annotation]
        labels: dict[str, Scalar] = {label: annotation[label] for label in present}
        return ImagePair(
            pair_id=pair_id,
            source=self._image(category, annotation["src_imname"]),
            target=self._image(category, annotation["trg_imname"]),
            # The official files give width, height and channels.
            source_size=Size(*annotation["src_imsize"][:2]),
            target_size=Size(*annotation["trg_imsize"][:2]),
            category=category,
            source_points=source_points,
            target_points=target_points,
            keypoint_ids=names,
            source_box=_box(annotation["src_bndbox"]),
            target_box=_box(annotation["trg_bndbox"]),
            labels=labels,
        )

    def _image(self, category: str, file_name: str) -> ImageFile:
        return ImageFile(
            f"{category}-{Path(file_name).stem}", self._folder / "JPEGImages" / category / file_name
        )


def _points(rows: list[list[float | None]]) -> np.ndarray:
    return np.array(rows, dtype=np.float64).reshape(len(rows), 2)


def _box(corners: list[float]) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = map(float, corners)
    return x1, y1, x2, y2


SPEC = DatasetSpec(
    name="spair-71k",
    open=SPair71k,
    home="SPair-71k",
    splits=("test", "val", "train", "trn"),
    threshold="box",
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
    description=(
        "18 categories of PASCAL photos with strong changes of view and scale; threshold: the target's box"
    ),
)
