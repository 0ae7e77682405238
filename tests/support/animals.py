"""AP-10K in small, in its official layout: three files of annotations, and pictures."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.photos import draw

from harness.datasets.ap10k.annotations import FILES
from harness.datasets.ap10k.keypoints import NAMES

SPECIES = {"cat": "Felidae", "lion": "Felidae", "dog": "Canidae", "fox": "Canidae", "panda": "Ursidae"}

SIZE = (60, 48)

Contents = dict[str, dict[str, list[dict[str, Any]]]]
"""File -> what it holds."""


def animal_files(pictures: dict[str, int]) -> Contents:
    """Three files with so many pictures of each species; two thirds of the points are annotated."""
    categories = [
        {"id": number, "name": name, "supercategory": family, "keypoints": list(NAMES), "skeleton": []}
        for number, (name, family) in enumerate(SPECIES.items(), start=1)
    ]
    contents: Contents = {name: {"images": [], "annotations": [], "categories": categories} for name in FILES}
    identifier = 0
    for species, count in pictures.items():
        for number in range(count):
            identifier += 1
            # Of a hash, and not of a generator of random numbers, which may change.
            digest = hashlib.sha256(f"{species} {number}".encode()).digest()
            points: list[float] = []
            for place, byte in enumerate(digest[: len(NAMES)]):
                points += [5 + place, 6 + byte % 30, 2] if byte % 3 else [0, 0, 0]
            content = contents[FILES[digest[-1] % 3]]
            content["images"].append(
                {"id": identifier, "file_name": f"{identifier:012d}.jpg", "width": SIZE[0], "height": SIZE[1]}
            )
            content["annotations"].append(
                {
                    "id": 1000 + identifier,
                    "image_id": identifier,
                    "category_id": 1 + list(SPECIES).index(species),
                    "bbox": [2, 3, 40, 38],
                    "iscrowd": 0,
                    "num_keypoints": sum(1 for seen in points[2::3] if seen),
                    "keypoints": points,
                }
            )
    return contents


def write_animals(folder: Path, contents: Contents, shuffle: int | None = None) -> Path:
    """Writes the files; with a number, entries and files in another order."""
    names = list(contents)
    if shuffle is not None:
        random.Random(shuffle).shuffle(names)
    for name in names:
        content = contents[name]
        if shuffle is not None:
            content = {key: random.Random(shuffle).sample(content[key], len(content[key])) for key in content}
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
    return folder


def make_animals(
    folder: Path, pictures: dict[str, int], change: Callable[[Contents], object] = lambda contents: None
) -> Path:
    """The files and the pictures."""
    contents = animal_files(pictures)
    change(contents)
    for content in contents.values():
        for image in content["images"]:
            draw(folder / "data" / image["file_name"], image["id"], SIZE)
    return write_animals(folder, contents)
