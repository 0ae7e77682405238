"""SOCO (Dünkel et al., 2026) in its official layout: its exact matches, within a category and across.

`PairAnnotations/<part>/<group>/<name>.json` holds a pair: names of its two pictures, their categories, sizes
and boxes, the keypoints that are seen in each, and `semantic_overlap`, the names of those that are the same
part of both objects. Pictures are `Images/<category>/<name>`. Nothing else is read.

Its other score, concept correspondence, lets a point have several right answers (`concept_matches`: any
wheel for a wheel). It is not read: a pair's truth here, in memory and beside stored predictions, is one
target point for each source point.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from harness.citations import SOCO
from harness.datasets.images import ImageFile
from harness.datasets.lists import find_picture, missing_dataset, naming_file, read_annotation
from harness.datasets.values import box_of, names_of, points_of, size_of, text_of
from harness.errors import UserError
from harness.specs import DatasetSpec, ImagePair, RemoteFile

_FOLDERS = {"intra": "intra", "cross": "cross", "train": "trainsplits/train", "test": "trainsplits/test"}


class SocoPairs:
    """One split. Pairs come in order of group and name (a `PairDataset`)."""

    def __init__(self, folder: Path, split: str) -> None:
        self._folder = folder
        self._pairs = folder / "PairAnnotations" / _FOLDERS[split]
        for place in (folder / "Images", self._pairs):
            if not place.is_dir():
                raise missing_dataset(SPEC, folder, place)
        # In the order of names, which no file system decides.
        self.pair_ids = tuple(
            sorted(f"{path.parent.name}/{path.stem}" for path in self._pairs.glob("*/*.json"))
        )
        if not self.pair_ids:
            raise UserError(f"dataset {SPEC.name}: {self._pairs} has no GROUP/NAME.json; fetch it again")
        self._image = lru_cache(maxsize=None)(self._find_image)

    def __len__(self) -> int:
        return len(self.pair_ids)

    def __getitem__(self, index: int) -> ImagePair:
        """Pair number `index`, read from its own file. Raises `DataError` that names the file."""
        pair_id = self.pair_ids[index]
        path = self._pairs / f"{pair_id}.json"
        annotation = read_annotation(path)
        with naming_file(path):
            return self._pair(pair_id, annotation)

    def _pair(self, pair_id: str, annotation: Any) -> ImagePair:
        """Reads an annotation. Raises `KeyError` and `ValueError`."""
        if not isinstance(annotation, dict):
            raise ValueError("is not an object in braces")
        names = names_of(annotation["semantic_overlap"], "semantic_overlap")
        images, points = {}, {}
        for side in ("src", "trg"):
            # A pair within a category may name it once.
            key = f"{side}_category" if annotation.get(f"{side}_category") else "category"
            category = text_of(annotation[key], key)
            images[side] = self._image(category, text_of(annotation[f"{side}_image"], f"{side}_image"))
            points[side] = _points_named(annotation, f"{side}_keypoints", names)
        return ImagePair(
            pair_id=pair_id,
            source=images["src"],
            target=images["trg"],
            source_size=size_of(annotation["src_imsize"], "src_imsize"),
            target_size=size_of(annotation["trg_imsize"], "trg_imsize"),
            # The group that the authors average over; across categories it names both.
            category=pair_id.partition("/")[0],
            source_points=points["src"],
            target_points=points["trg"],
            keypoint_ids=names,
            source_box=box_of(annotation.get("src_bndbox"), "src_bndbox"),
            target_box=box_of(annotation.get("trg_bndbox"), "trg_bndbox"),
        )

    def _find_image(self, category: str, name: str) -> ImageFile:
        return ImageFile(
            f"{category}-{Path(name).stem}", find_picture(self._folder / "Images" / category, [name])
        )


def _points_named(annotation: dict[str, Any], key: str, names: tuple[str, ...]) -> np.ndarray:
    """(N, 2) the points of some names, in their order. Raises `KeyError` and `ValueError`."""
    entries = annotation[key]
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError(f"{key} must be a list of objects with a name and a pos")
    found: dict[str, Any] = {}
    for entry in entries:
        name = text_of(entry["name"], f"{key}: name")
        if name in found:
            raise ValueError(f"{key}: '{name}' is there twice")
        found[name] = entry["pos"]
    missing = [name for name in names if name not in found]
    if missing:
        raise ValueError(f"semantic_overlap names '{missing[0]}', which is not in {key}")
    return points_of([found[name] for name in names], key)


SPEC = DatasetSpec(
    name="soco",
    open=SocoPairs,
    home="SOCOv1",
    splits=("intra", "cross", "train", "test"),
    threshold="box",
    files=tuple(
        RemoteFile(
            url=f"https://huggingface.co/datasets/GenIntelLab/SOCO/resolve/main/{name}.zip",
            path=".",
            unpack=True,
            provides=provides,
        )
        for name, provides in (("Images", "Images"), ("PairAnnotations", "PairAnnotations/intra"))
    ),
    citation=SOCO,
    description=(
        "100 categories; exact matches within a category (intra, of which train and test are halves) and "
        "across (cross), not its several right answers for a concept; threshold: the target's box"
    ),
)
