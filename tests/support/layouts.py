"""Small datasets in the layouts that the loaders read: three pairs of three pictures each."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from support.photos import draw

SIZE = (60, 48)
PAIRS = ((0, 1), (1, 2), (2, 0))
POINTS = ((10.0, 10.0), (50.0, 10.0), (30.0, 24.0))


def spair_annotation(source: int, target: int) -> dict[str, Any]:
    return {
        "category": "cat",
        "src_imname": f"{source}.png",
        "trg_imname": f"{target}.png",
        "src_imsize": [*SIZE, 3],
        "trg_imsize": [*SIZE, 3],
        "src_kps": [list(point) for point in POINTS],
        "trg_kps": [[x + target, y] for x, y in POINTS],
        "kps_ids": ["0", "3", "7"],
        "src_bndbox": [5, 5, 55, 40],
        "trg_bndbox": [5, 5, 55, 40],
        "viewpoint_variation": 1,
        "mirror": 0,
    }


def make_spair(folder: Path, change: Callable[[dict[str, Any]], object] = lambda annotation: None) -> Path:
    """SPair-71k; `change` is applied to the annotation of the first pair."""
    names: list[str] = []
    for source, target in PAIRS:
        annotation = spair_annotation(source, target)
        if not names:
            change(annotation)
        names.append(f"{len(names):06d}-{source}-{target}:cat")
        write_spair_annotation(folder, names[-1], json.dumps(annotation))
    for number in range(3):
        draw(folder / "JPEGImages" / "cat" / f"{number}.png", number, SIZE)
    write_spair_list(folder, names)
    return folder


def write_spair_annotation(folder: Path, name: str, text: str) -> None:
    path = folder / "PairAnnotation" / "test" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def write_spair_list(folder: Path, names: list[str]) -> None:
    path = folder / "Layout" / "large" / "test.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(names) + "\n")


def pascal_rows(pictures: str = "PF-dataset-PASCAL/JPEGImages/") -> list[list[str]]:
    """Header and rows of a list with points, those of the `.mat` files."""
    rows = [["source_image", "target_image", "class", "XA", "YA", "XB", "YB"]]
    for source, target in PAIRS:
        columns = [[x for x, _ in POINTS], [y for _, y in POINTS]]
        columns += [[x + target for x, _ in POINTS], columns[1]]
        texts = [";".join(map(str, column)) for column in columns]
        rows.append([f"{pictures}{source}.png", f"{pictures}{target}.png", "8", *texts])
    return rows


def make_pascal(
    folder: Path,
    rows: list[list[str]] | None = None,
    parts: str = "PF-dataset-PASCAL",
    name: str = "test_pairs.csv",
) -> Path:
    """PF-PASCAL. Picture number i has the points `POINTS`, i pixels to the right."""
    from scipy.io import savemat

    for number in range(3):
        draw(folder / parts / "JPEGImages" / f"{number}.png", number, SIZE)
        path = folder / parts / "Annotations" / "cat" / f"{number}.mat"
        path.parent.mkdir(parents=True, exist_ok=True)
        points = np.array(POINTS) + [number, 0]
        savemat(path, {"kps": points, "bbox": np.array([[5, 5, 55, 40]])}, do_compression=bool(number % 2))
    write_table(folder / name, rows or pascal_rows())
    return folder


def willow_rows(folder: str = "PF-dataset/car(G)") -> list[list[str]]:
    """Header and rows of PF-WILLOW's list."""
    columns = [f"{axis}{image}{number}" for image in "AB" for axis in "XY" for number in range(1, 11)]
    numbers = [str(number % 30 + 5) for number in range(40)]
    rows = [["imageA", "imageB", *columns]]
    for source, target in PAIRS:
        rows.append([f"{folder}/{source}.png", f"{folder}/{target}.png", *numbers])
    return rows


def make_willow(folder: Path, rows: list[list[str]] | None = None, name: str = "test_pairs.csv") -> Path:
    """PF-WILLOW."""
    for number in range(3):
        draw(folder / "PF-dataset" / "car(G)" / f"{number}.png", number, SIZE)
    write_table(folder / name, rows or willow_rows())
    return folder


def write_table(path: Path, rows: list[list[str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(",".join(row) for row in rows) + "\n")
