"""A list of pairs for the dataset `folder`, made of a COCO file of key points."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.datasets.checks import picture_size
from harness.datasets.coco.pair_rule import Couple, PairRule, choose_pairs, choose_subjects
from harness.datasets.coco.reading import CocoFile, Subject, read_coco
from harness.datasets.lists import find_picture
from harness.errors import DataError, UserError
from harness.files import check_place, put_file
from harness.frames import Size
from harness.messages import counted


@dataclass(frozen=True)
class WrittenPairs:
    """What was written.

    Attributes:
        pairs, pictures: numbers.
        categories: names of those with pairs.
        notes: what the user should know, one line each.
    """

    path: Path
    pairs: int
    pictures: int
    categories: tuple[str, ...]
    notes: tuple[str, ...]


def write_pairs(
    path: Path, rule: PairRule, images: Path | None = None, out: Path | None = None
) -> WrittenPairs:
    """Makes a list of pairs.

    Args:
        path: the COCO file.
        images: folder that the file's names of pictures are relative to; its own folder if left out.
        out: the list; `pairs.json` in the folder of pictures if left out, and then none of other content
            is replaced.

    Raises:
        UserError: the file is wrong, a category has too few pairs, a picture is missing or of another size,
            or the list cannot be written.
    """
    folder = path.parent if images is None else images
    if not folder.is_dir():
        raise UserError(f"--images {folder}: is not a folder; name that of the pictures")
    target = folder / "pairs.json" if out is None else out
    if target.suffix.lower() != ".json":
        raise UserError(f"-o {target}: is not called .json; the list is a JSON file")
    check_place(target)
    _refuse_same_file(path, target)
    coco = read_coco(path)
    coco, notes = _without_points_outside(coco)
    chosen = _chosen(path, coco, rule)
    writer = _Writer(path, folder, target.parent)
    pairs: list[dict[str, Any]] = []
    for couples in chosen.values():
        pairs += [writer.entry(couple) for couple in couples]
    content = f"{json.dumps({'name': path.stem, 'pairs': pairs}, indent=1)}\n".encode()
    if out is None and target.exists() and target.read_bytes() != content:
        raise UserError(f"{target}: is there already and holds something else; name another file with -o")
    put_file(target, content)
    notes = (*notes, *_note_on_boxes(pairs))
    return WrittenPairs(target, len(pairs), len(writer.paths), tuple(chosen), notes)


def _note_on_boxes(pairs: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """A line where some pairs have a box and others have none: numbers need it of all of them."""
    with_box = sum("target_box" in pair for pair in pairs)
    if with_box in (0, len(pairs)):
        return ()
    return (
        f"{with_box} of {counted(len(pairs), 'pair')} have the target's bbox: alpha will multiply the "
        "picture's size for all of them; annotate the others, too, to have it multiply the box's",
    )


def _refuse_same_file(path: Path, target: Path) -> None:
    if target.exists() and path.exists() and target.samefile(path):
        raise UserError(f"-o {target}: is the COCO file itself; name another file")


def _without_points_outside(coco: CocoFile) -> tuple[CocoFile, tuple[str, ...]]:
    """The file without points beyond their pictures, and a line that says how many there were."""
    outside = 0
    subjects: list[Subject] = []
    for subject in coco.subjects:
        points = _inside(subject.points, subject.picture.size)
        outside += len(subject.points) - len(points)
        subjects.append(replace(subject, points=points))
    if not outside:
        return coco, ()
    note = f"{counted(outside, 'key point')} outside their pictures left out, as if not annotated"
    return replace(coco, subjects=subjects), (note,)


def _inside(points: Mapping[str, tuple[float, float]], size: Size | None) -> dict[str, tuple[float, float]]:
    if size is None:
        return dict(points)
    return {name: (x, y) for name, (x, y) in points.items() if 0 <= x <= size.width and 0 <= y <= size.height}


def _chosen(path: Path, coco: CocoFile, rule: PairRule) -> dict[str, list[Couple]]:
    """Category -> pairs. Raises `UserError` where one has fewer than the rule says."""
    if not any(subject.points for subject in coco.subjects):
        raise UserError(f"{path}: has no annotated key point (keypoints with v above 0); name another file")
    chosen = choose_pairs(choose_subjects(coco, rule.minimum_points), rule)
    with_pairs = {category: couples for category, couples in chosen.items() if couples}
    if not with_pairs:
        common = counted(rule.minimum_points, "key point")
        raise UserError(
            f"{path}: no two pictures of a category have {common} in common; lower --minimum-points"
        )
    fewest = min(with_pairs, key=lambda category: len(with_pairs[category]))
    most = len(with_pairs[fewest])
    if most < rule.per_category:
        raise UserError(
            f"{path}: category '{fewest}' has {counted(most, 'pair')} with "
            f"{counted(rule.minimum_points, 'key point')} in common, not {rule.per_category:,}; "
            f"--per-category {most} is the most that every category has"
        )
    return with_pairs


class _Writer:
    """Makes entries of a list; looks at each picture once.

    Attributes:
        paths: picture id -> its name in the list.
    """

    def __init__(self, path: Path, images: Path, place: Path) -> None:
        self.paths: dict[str, str] = {}
        self._path, self._images, self._place = path, images, place

    def entry(self, couple: Couple) -> dict[str, Any]:
        """A pair as `own_lists` reads it. Raises `UserError` where a picture is missing or another one."""
        source, target = couple
        names = [name for name in source.points if name in target.points]
        entry: dict[str, Any] = {
            "id": f"{source.picture.picture_id}-{target.picture.picture_id}:{source.category.name}",
            "source": self._name(source),
            "target": self._name(target),
            "category": source.category.name,
            "source_points": [list(source.points[name]) for name in names],
            "target_points": [list(target.points[name]) for name in names],
            "keypoint_ids": names,
        }
        for side, subject in (("source_box", source), ("target_box", target)):
            if subject.box is not None:
                entry[side] = list(subject.box)
        return entry

    def _name(self, subject: Subject) -> str:
        picture = subject.picture
        if picture.picture_id not in self.paths:
            file = find_picture(self._images, [picture.file_name])
            self._check_picture(file, picture.size)
            self.paths[picture.picture_id] = Path(os.path.relpath(file, self._place)).as_posix()
        return self.paths[picture.picture_id]

    def _check_picture(self, file: Path, annotated: Size | None) -> None:
        if not file.exists():
            raise UserError(
                f"{self._path}: picture {file} is not there; --images names the folder that file_name is in"
            )
        try:
            size = picture_size(file)
        except DataError as error:
            raise UserError(str(error)) from error
        if annotated is not None and size != annotated:
            raise UserError(
                f"{self._path}: picture {file} has {size.width} x {size.height} pixels, its entry says "
                f"{annotated.width} x {annotated.height}; put the picture there that was annotated"
            )
