"""The animals of AP-10K's three official files of annotations, as one set."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.datasets.ap10k.keypoints import NAMES, order_problem
from harness.datasets.checks import Box
from harness.datasets.coco.reading import CocoFile, Picture, Subject, id_order, read_coco
from harness.errors import UserError
from harness.frames import Size

FILES = tuple(f"annotations/ap10k-{part}-split1.json" for part in ("train", "val", "test"))

ADVICE = (
    "unpack ap-10k.zip, which the page github.com/AlexTheBad/AP-10K links to and no program can fetch, "
    "so that the folder has annotations/ and data/"
)
"""What to do where the official files are not there."""

_UNPACK = "unpack ap-10k.zip again"

LEAST_POINTS = 3
"""Annotated key points of a picture that takes part, and those that both pictures of a pair have."""


@dataclass(frozen=True)
class Animal:
    """The only animal of a picture.

    Attributes:
        picture: the id of the picture.
        file_name: of the picture in `data/`.
        points: name -> (x, y) in pixels of those that are annotated (v above 0).
        seen: the same as a number with a bit for each of `NAMES`.
    """

    picture: str
    file_name: str
    size: Size
    species: str
    family: str
    points: Mapping[str, tuple[float, float]]
    box: Box
    seen: int

    def shares(self, other: Animal) -> bool:
        """Says whether two animals have enough key points in common for a pair."""
        return (self.seen & other.seen).bit_count() >= LEAST_POINTS


def read_animals(folder: Path) -> dict[str, Animal]:
    """Picture id -> animal, in the order of ids, of pictures with one animal and enough key points.

    Pictures with several annotations, or with a crowd, are left out: which animal a point belongs to would
    be anybody's guess.

    Raises:
        UserError: an official file is missing, damaged, or contradicts another one.
    """
    union = _Union()
    for name in FILES:
        path = folder / name
        if not path.is_file():
            raise UserError(f"dataset ap-10k: {path} is not there; {ADVICE}")
        coco = read_coco(path, _UNPACK)
        problem = union.add(coco)
        if problem:
            raise UserError(f"{path}: {problem}; {_UNPACK}")
    by_picture = union.by_picture
    animals: dict[str, Animal] = {}
    for picture in sorted(by_picture, key=id_order):
        subjects = list(by_picture[picture].values())
        if len(subjects) == 1 and _is_usable(subjects[0]):
            animals[picture] = _animal(folder, subjects[0])
    return animals


class _Union:
    """The files as one set. One file's entry may be another's as well, but must be the same.

    Attributes:
        by_picture: id of a picture -> id of an annotation -> what it is of.
    """

    def __init__(self) -> None:
        self.by_picture: dict[str, dict[str, Subject]] = {}
        self._families: dict[str, str] = {}
        self._pictures: dict[str, Picture] = {}

    def add(self, coco: CocoFile) -> str:
        """Adds a file; returns what is wrong with it, or empty text."""
        for category in coco.categories:
            problem = order_problem(category.keypoints)
            if problem or not category.group:
                return f"category '{category.name}' has {problem or 'no supercategory, which is its family'}"
            family = self._families.setdefault(category.name, category.group)
            if family != category.group:
                return f"category '{category.name}' is of {category.group}, and of {family} in another file"
        for picture in coco.pictures.values():
            identifier = picture.picture_id
            # Names of pairs join two of them.
            if not (identifier.isascii() and identifier.isdecimal()):
                return f"picture id '{identifier}' is not a whole number"
            if self._pictures.setdefault(identifier, picture) != picture:
                return f"picture {identifier} is another one than in another file of the three"
        for subject in coco.subjects:
            known = self.by_picture.setdefault(subject.picture.picture_id, {})
            if known.setdefault(subject.subject_id, subject) != subject:
                return f"annotation {subject.subject_id} says otherwise than in another file of the three"
        return ""


def _is_usable(subject: Subject) -> bool:
    """Says whether there is one animal with enough points, by its points and by the number it states."""
    counts = [len(subject.points)]
    if subject.stated_points is not None:
        counts.append(subject.stated_points)
    return not subject.is_crowd and min(counts) >= LEAST_POINTS


def _animal(folder: Path, subject: Subject) -> Animal:
    picture = subject.picture
    lacking = "bbox" if subject.box is None else "width and height" if picture.size is None else ""
    if subject.box is None or picture.size is None:
        raise UserError(f"{folder / 'annotations'}: picture {picture.picture_id} has no {lacking}; {_UNPACK}")
    # The names of this module stand for those of the file, which copies spell in several ways.
    positions = [subject.category.keypoints.index(name) for name in subject.points]
    points = dict(zip((NAMES[position] for position in positions), subject.points.values(), strict=True))
    return Animal(
        picture=picture.picture_id,
        file_name=picture.file_name,
        size=picture.size,
        species=subject.category.name,
        family=subject.category.group,
        points=points,
        box=subject.box,
        seen=sum(1 << position for position in positions),
    )


def picture_folder(folder: Path) -> Path:
    """Where the pictures lie that `Animal.file_name` names."""
    return folder / "data"


def annotations_digest(animals: Mapping[str, Animal]) -> str:
    """sha256 over the animals that can be in a pair, whatever the order of files and entries."""
    digest = hashlib.sha256()
    for picture in sorted(animals, key=id_order):
        animal = animals[picture]
        points = [(name, *map(float, animal.points[name])) for name in NAMES if name in animal.points]
        fields = (picture, animal.file_name, tuple(animal.size), animal.species, animal.family, points)
        digest.update(repr((*fields, tuple(map(float, animal.box)))).encode() + b"\n")
    return digest.hexdigest()
