"""AP-10K in its official layout, beside which `bench data prepare ap-10k` has put a list of pairs.

`annotations/ap10k-{train,val,test}-split1.json` hold the animals, `data/` the pictures, and
`bench-pairs.json` the pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from harness.citations import AP_10K
from harness.datasets.ap10k.annotations import (
    ADVICE,
    Animal,
    annotations_digest,
    picture_folder,
    read_animals,
)
from harness.datasets.ap10k.keypoints import NAMES, PARTNERS, SYMMETRIC
from harness.datasets.ap10k.pair_list import NAME, prepare, read_pair_list
from harness.datasets.ap10k.pair_rule import ALL, RULE
from harness.datasets.images import ImageFile
from harness.datasets.lists import find_picture
from harness.errors import DataError, UserError
from harness.messages import listed, shell_word
from harness.specs import DatasetSpec, ImagePair


class AP10K:
    """One split (a `PairDataset`). Pairs come by category, then by ids of pictures."""

    def __init__(self, folder: Path, split: str) -> None:
        self._folder = folder
        self._crosses = "-cross-" in split
        self._command = f"bench data prepare {shell_word(f'ap-10k={folder}')}"
        self._list = read_pair_list(folder, self._command)
        self._pairs: list[tuple[str, str, str]] = []
        for category, names in self._list.splits.get(split, {}).items():
            for name in names:
                source, _, target = name.partition("-")
                self._pairs.append((category, source, target))
        # As the published preparation names a pair.
        self.pair_ids: Sequence[str] = tuple(
            f"{source:0>12}-{target:0>12}:{category}" for category, source, target in self._pairs
        )

    def __len__(self) -> int:
        return len(self._pairs)

    @property
    def facts(self) -> dict[str, str]:
        """The list that the pairs are of, for the record."""
        return {
            "annotations_sha256": self._list.annotations,
            "pairs_rule": str(RULE),
            "pairs_sha256": self._list.sha256,
        }

    @property
    def notes(self) -> tuple[str, ...]:
        """A line with the hash of the list: numbers on two lists are not comparable."""
        lines = [f"pairs of the list {self._list.sha256}, made by rule {RULE}"]
        if self._crosses:
            unknown = {category for category, *_ in self._pairs} - set(SPEC.prompt_names)
            if unknown:
                lines.append(f"prompts name a family by its Latin word: {listed(sorted(unknown))}")
        return tuple(lines)

    def __getitem__(self, index: int) -> ImagePair:
        """Pair number `index`. Raises `DataError`; `UserError` where the list is of other annotations."""
        category, *pictures = self._pairs[index]
        source, target = (self._animal(picture) for picture in pictures)
        names = tuple(name for name in NAMES if name in source.points and name in target.points)
        return ImagePair(
            pair_id=self.pair_ids[index],
            source=self._image(source),
            target=self._image(target),
            source_size=source.size,
            target_size=target.size,
            category=category,
            source_points=_points(source, names),
            target_points=_points(target, names),
            keypoint_ids=names,
            source_box=source.box,
            target_box=target.box,
            source_keypoints=tuple(source.points),
            target_keypoints=tuple(target.points),
        )

    @cached_property
    def _animals(self) -> dict[str, Animal]:
        animals = read_animals(self._folder)
        if annotations_digest(animals) != self._list.annotations:
            raise UserError(
                f"{self._folder / NAME}: was made of other annotations than those that are there; "
                f"put the official ones back, or '{self._command}' makes it anew"
            )
        return animals

    def _animal(self, picture: str) -> Animal:
        animal = self._animals.get(picture)
        if animal is None:
            raise DataError(f"{self._folder / NAME}: picture {picture} is not in the annotations")
        return animal

    def _image(self, animal: Animal) -> ImageFile:
        path = find_picture(picture_folder(self._folder), [animal.file_name])
        return ImageFile(f"{animal.species}-{Path(animal.file_name).stem}", path)


def _points(animal: Animal, names: Sequence[str]) -> np.ndarray:
    return np.array([animal.points[name] for name in names], dtype=np.float64).reshape(-1, 2)


_FAMILIES = (
    *("Bovidae", "Canidae", "Castoridae", "Cercopithecidae", "Cervidae", "Cricetidae", "Elephantidae"),
    *("Equidae", "Felidae", "Giraffidae", "Hippopotamidae", "Hominidae", "Leporidae", "Mephitidae"),
    *("Muridae", "Mustelidae", "Procyonidae", "Rhinocerotidae", "Sciuridae", "Suidae", "Talpidae"),
    *("Ursidae", "Atelidae"),
)

SPEC = DatasetSpec(
    name="ap-10k",
    open=AP10K,
    home="ap-10k",
    splits=(
        *("test", "test-cross-species", "test-cross-family"),
        *("val", "val-cross-species", "val-cross-family", "train"),
    ),
    threshold="box",
    # A species is its own word. What shows two of them has no name of its own that a network would know.
    prompt_names=dict.fromkeys((*_FAMILIES, ALL), "animal"),
    symmetric_keypoints={"": SYMMETRIC},
    mirror_partners={"": PARTNERS},
    advice=f"{ADVICE}, then 'bench data prepare ap-10k' makes the pairs",
    prepare=prepare,
    citation=AP_10K,
    description=(
        "photos of animals with 17 key points; pairs within a species (test), across species of a family, "
        "and across families; threshold: the target's box"
    ),
)
