"""Writes `shapes` to disk in the layout of SPair-71k."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from harness.datasets.shapes.pairs import Annotation, Shapes, ShapesImage, keypoint_names
from harness.specs import ImagePair, ImageSource

Item = TypeVar("Item")

_FOLDERS = {"train": "trn", "val": "val", "test": "test"}
"""Split -> folder of its pair annotations."""


def _silent(items: Iterable[Item]) -> Iterable[Item]:
    return items


def export(
    folder: Path, splits: Sequence[str], progress: Callable[[Iterable[Any]], Iterable[Any]] = _silent
) -> None:
    """Writes pictures, annotations and pair lists such that `spair-71k` reads the same pairs from `folder`.

    Pictures are PNG files, so that nothing of them is lost; official ones are JPEG, which readers learn from
    the annotations.

    Args:
        splits: of `train`, `val` and `test`.
        progress: wraps the pictures and pairs while they are written, to show progress.

    Raises:
        OSError: the folder cannot be written.
    """
    for split in splits:
        dataset = Shapes(split)
        for image in progress(dataset.images()):
            _write_image(folder, image, dataset.annotation(image))
        _write_pairs(folder, _FOLDERS[split], [dataset[number] for number in range(len(dataset))])


def _write_image(folder: Path, image: ShapesImage, annotation: Annotation) -> None:
    picture = folder / "JPEGImages" / image.category / f"{image.stem}.png"
    picture.parent.mkdir(parents=True, exist_ok=True)
    image.open().save(picture)
    keypoints = {}
    for number, point in enumerate(annotation.points):
        # JSON has no NaN; SPair-71k writes null for a point that is not visible.
        keypoints[str(number)] = point.tolist() if np.isfinite(point).all() else None
    _write_json(
        folder / "ImageAnnotation" / image.category / f"{image.stem}.json",
        {
            "filename": picture.name,
            "image_width": annotation.size.width,
            "image_height": annotation.size.height,
            "image_depth": 3,
            "category": image.category,
            "bndbox": annotation.box,
            "kps": keypoints,
            "kps_names": keypoint_names(image.category),
            "truncated": int(annotation.is_truncated),
            "occluded": int(annotation.is_occluded),
        },
    )


def _write_pairs(folder: Path, split: str, pairs: Sequence[ImagePair]) -> None:
    for pair in pairs:
        source = _file_name(pair, pair.source)
        target = _file_name(pair, pair.target)
        _write_json(
            folder / "PairAnnotation" / split / f"{pair.pair_id}.json",
            {
                "filename": pair.pair_id,
                "src_imname": source,
                "trg_imname": target,
                # Width, height and channels, as in the official files.
                "src_imsize": [*pair.source_size, 3],
                "trg_imsize": [*pair.target_size, 3],
                "src_bndbox": pair.source_box,
                "trg_bndbox": pair.target_box,
                "category": pair.category,
                "src_kps": pair.source_points.tolist(),
                "trg_kps": pair.target_points.tolist(),
                "kps_ids": pair.keypoint_ids,
                **pair.labels,
            },
        )
    layout = folder / "Layout" / "large" / f"{split}.txt"
    layout.parent.mkdir(parents=True, exist_ok=True)
    layout.write_text("".join(f"{pair.pair_id}\n" for pair in pairs), encoding="utf-8")


def _file_name(pair: ImagePair, image: ImageSource) -> str:
    return f"{image.name.removeprefix(pair.category + '-')}.png"


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
