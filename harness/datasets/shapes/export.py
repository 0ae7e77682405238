"""Writes `shapes` to disk as SPair-71k is laid out, for this program and for those of others.

Programs that read SPair-71k rely on more than its lists say: names that end in `.jpg`, from which they make
the names of annotations and masks; thirty keypoint slots for each picture; masks with VOC's class numbers;
`mirror` 0.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import PIL.Image

from harness.datasets.lists import VOC_CATEGORIES
from harness.datasets.shapes.catalogue import KINDS
from harness.datasets.shapes.masks import draw_object
from harness.datasets.shapes.pairs import Shapes, ShapesImage, keypoint_names
from harness.datasets.shapes.scene import Scene
from harness.errors import UserError
from harness.files import read_json, remove_files, replacing, writing
from harness.specs import ImagePair, ImageSource

Item = TypeVar("Item")

KEYPOINT_SLOTS = 30
"""Keypoints that each picture of SPair-71k has room for, whatever its category."""

FOREIGN_CATEGORIES = tuple(category for category in KINDS if category not in VOC_CATEGORIES)
"""Categories that PASCAL VOC, and so SPair-71k, does not have."""

UNFINISHED = "UNFINISHED.json"
"""Lies in the folder until all is written, and says what is being written."""

_FOLDERS = {"train": "trn", "val": "val", "test": "test"}
"""Split -> folder of its pair annotations."""


@dataclass(frozen=True)
class ExportOptions:
    """What is written.

    Attributes:
        splits: of `train`, `val` and `test`.
        whole_pixels: round points and boxes, as SPair-71k has them; some programs use them as indices.
        voc_only: leave the categories out that VOC does not have; some programs have VOC's names in their
            code.
    """

    splits: tuple[str, ...]
    whole_pixels: bool = False
    voc_only: bool = False

    def has_category(self, category: str) -> bool:
        """Whether a category is written."""
        return not (self.voc_only and category in FOREIGN_CATEGORIES)


def _silent(items: Iterable[Item]) -> Iterable[Item]:
    return items


def check_folder(folder: Path, options: ExportOptions) -> None:
    """Checks that an export may be written to a folder: a new one, an empty one, or one in which the same
    export was interrupted.

    Raises:
        UserError: something else is there, which would be read as part of the dataset.
    """
    if not folder.exists() or (folder.is_dir() and not any(map(_is_foreign, folder.iterdir()))):
        return
    try:
        begun = read_json(folder / UNFINISHED)
    except (OSError, ValueError):
        raise UserError(f"{folder} is not an empty folder; name a new one") from None
    if begun != _plain(options):
        raise UserError(f"{folder} holds an unfinished export of other splits or options; delete it first")


def _is_foreign(path: Path) -> bool:
    # An export that was killed as it began has left but this.
    return not (path.name.startswith(f".{UNFINISHED}.") and path.suffix == ".tmp")


def export(
    folder: Path,
    options: ExportOptions,
    progress: Callable[[Iterable[Any]], Iterable[Any]] = _silent,
) -> None:
    """Writes pictures, masks, annotations and pair lists such that `spair-71k` reads the same pairs from
    `folder`.

    Pictures are PNG files, so that nothing of them is lost, under the names that official ones have:
    libraries look at the content. An interrupted export is written again from the start.

    Args:
        progress: wraps the pictures and pairs while they are written, to show progress.

    Raises:
        UserError: see `check_folder`.
        NotWritten: the disk is full or the like; the same command writes the rest.
    """
    check_folder(folder, options)
    remove_files(folder.glob(f".{UNFINISHED}.*.tmp"))
    with replacing(folder / UNFINISHED) as file:
        file.write(json.dumps(_plain(options)).encode())
    for split in options.splits:
        dataset = Shapes(split)
        images = [image for image in dataset.images() if options.has_category(image.category)]
        for image in progress(images):
            _write_image(folder, image, options.whole_pixels)
        all_pairs = [dataset[number] for number in range(len(dataset))]
        pairs = [pair for pair in all_pairs if options.has_category(pair.category)]
        _write_pairs(folder, _FOLDERS[split], pairs, options.whole_pixels)
    # It must be there: a folder that was taken away meanwhile, and made again, lacks what was written before.
    with writing(folder / UNFINISHED):
        (folder / UNFINISHED).unlink()


def draw_mask(scene: Scene, category: str) -> PIL.Image.Image:
    """The pixels of a picture that show its object: 8-bit, its class number there and 0 elsewhere.

    Classes are numbered as in VOC, from 1; the categories that VOC does not have follow.
    """
    names = (*VOC_CATEGORIES, *FOREIGN_CATEGORIES)
    number = names.index(category) + 1
    return PIL.Image.fromarray(draw_object(scene).astype(np.uint8) * np.uint8(number))


def _write_image(folder: Path, image: ShapesImage, whole_pixels: bool) -> None:
    scene = image.scene()
    picture = folder / "JPEGImages" / image.category / f"{image.stem}.jpg"
    _write_picture(picture, image.open())
    mask = folder / "Segmentation" / image.category / f"{image.stem}.png"
    _write_picture(mask, draw_mask(scene, image.category))
    # JSON has no NaN; SPair-71k writes null for a point that is not visible, and for one that no object has.
    keypoints: dict[str, Any] = dict.fromkeys(map(str, range(KEYPOINT_SLOTS)))
    for number, point in enumerate(scene.points):
        if np.isfinite(point).all():
            keypoints[str(number)] = _numbers(point, whole_pixels)
    _write_json(
        folder / "ImageAnnotation" / image.category / f"{image.stem}.json",
        {
            "filename": picture.name,
            "image_width": scene.size.width,
            "image_height": scene.size.height,
            "image_depth": 3,
            "category": image.category,
            "pose": "Unspecified",
            "bndbox": _numbers(scene.box, whole_pixels),
            "kps": keypoints,
            "kps_names": keypoint_names(image.category),
            "truncated": int(scene.is_truncated),
            "occluded": int(scene.is_occluded),
            "difficult": 0,
        },
    )


def _write_pairs(folder: Path, split: str, pairs: Sequence[ImagePair], whole_pixels: bool) -> None:
    for pair in pairs:
        _write_json(
            folder / "PairAnnotation" / split / f"{pair.pair_id}.json",
            {
                # Its name begins with its number.
                "pair_id": int(pair.pair_id.partition("-")[0]),
                "filename": pair.pair_id,
                "src_imname": _file_name(pair, pair.source),
                "trg_imname": _file_name(pair, pair.target),
                # Width, height and channels, as in the official files.
                "src_imsize": [*pair.source_size, 3],
                "trg_imsize": [*pair.target_size, 3],
                "src_bndbox": _numbers(pair.source_box or (), whole_pixels),
                "trg_bndbox": _numbers(pair.target_box or (), whole_pixels),
                "category": pair.category,
                "src_pose": "Unspecified",
                "trg_pose": "Unspecified",
                "src_kps": [_numbers(point, whole_pixels) for point in pair.source_points],
                "trg_kps": [_numbers(point, whole_pixels) for point in pair.target_points],
                "kps_ids": pair.keypoint_ids,
                **pair.labels,
                # There it speaks of mirrored copies of pictures, which neither dataset has.
                "mirror": 0,
            },
        )
    layout = folder / "Layout" / "large" / f"{split}.txt"
    _write_bytes(layout, "".join(f"{pair.pair_id}\n" for pair in pairs).encode())


def _numbers(values: Iterable[float], whole: bool) -> list[float]:
    """Coordinates for JSON, rounded to the nearest pixel if so asked."""
    return [round(float(value)) if whole else float(value) for value in values]


def _file_name(pair: ImagePair, image: ImageSource) -> str:
    return f"{image.name.removeprefix(pair.category + '-')}.jpg"


def _plain(options: ExportOptions) -> dict[str, Any]:
    """Options as JSON gives them back."""
    return {**asdict(options), "splits": list(options.splits)}


def _write_json(path: Path, content: dict[str, Any]) -> None:
    _write_bytes(path, json.dumps(content).encode())


def _write_picture(path: Path, picture: PIL.Image.Image) -> None:
    # In memory: Pillow writes through a file's number and forgets why the system refused it.
    content = io.BytesIO()
    picture.save(content, "PNG")
    _write_bytes(path, content.getvalue())


def _write_bytes(path: Path, content: bytes) -> None:
    # As it is, without a temporary name: until the export is done, `UNFINISHED` says that it is not.
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
