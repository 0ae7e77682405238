"""The rule that makes AP-10K's pairs: sizes and limits as published, every order by SHA-256 of ids.

The published preparation (GeoAware-SC) takes files in the order in which a disk lists them, so that each
machine has other test pictures and other pairs. Here nothing depends on a disk, on the order of entries or on
a seed.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from heapq import nsmallest
from itertools import combinations

from harness.datasets.ap10k.annotations import Animal
from harness.datasets.coco.reading import id_order

RULE = 1
"""The number of this rule. Another one makes other pairs, whose numbers are not comparable."""

TEST_PICTURES, VAL_PICTURES = 30, 20
"""Most pictures of a species in each part; training has the rest."""

TRAIN_PAIRS = 50
"""Training pairs of a species for each of its pictures, at most."""

CROSS_SPECIES = {"test": 900, "val": 400}
"""Most pairs of each family whose pictures show two species of it."""

CROSS_FAMILY = {"test": 30, "val": 20}
"""Most pairs of each two families."""

ALL = "all"
"""The category of pairs across families."""

Pairs = dict[str, list[str]]
"""Category -> `SOURCE-TARGET`, ids of pictures, sorted."""

_Couple = tuple[Animal, Animal]


def make_pairs(animals: Mapping[str, Animal]) -> dict[str, Pairs]:
    """Split -> its pairs."""
    parts = _parts(animals.values())
    splits: dict[str, Pairs] = {}
    for split, by_species in parts.items():
        pairs: Pairs = {}
        for species, members in by_species.items():
            limit = TRAIN_PAIRS * len(members) if split == "train" else None
            _add(pairs, species, combinations(members, 2), limit)
        splits[split] = pairs
    for split in ("test", "val"):
        by_family = _families(parts[split])
        splits[f"{split}-cross-species"] = _across_species(by_family, CROSS_SPECIES[split])
        splits[f"{split}-cross-family"] = _across_families(by_family, CROSS_FAMILY[split])
    return {split: _sorted(pairs) for split, pairs in splits.items()}


def _digest(*words: str) -> bytes:
    return hashlib.sha256("\n".join(("ap-10k", *words)).encode()).digest()


def _parts(animals: Iterable[Animal]) -> dict[str, dict[str, list[Animal]]]:
    """Part -> species -> animals. Of a species the last ones go to test, those before them to val."""
    by_species: dict[str, list[Animal]] = defaultdict(list)
    for animal in animals:
        by_species[animal.species].append(animal)
    parts: dict[str, dict[str, list[Animal]]] = {"test": {}, "val": {}, "train": {}}
    for species in sorted(by_species):
        members = sorted(by_species[species], key=lambda animal: _digest("picture", animal.picture))
        rest, parts["test"][species] = members[:-TEST_PICTURES], members[-TEST_PICTURES:]
        parts["train"][species], parts["val"][species] = rest[:-VAL_PICTURES], rest[-VAL_PICTURES:]
    return parts


def _families(by_species: Mapping[str, list[Animal]]) -> dict[str, list[Animal]]:
    """Family -> animals, both in a fixed order."""
    by_family: dict[str, list[Animal]] = defaultdict(list)
    for species in sorted(by_species):
        for animal in by_species[species]:
            by_family[animal.family].append(animal)
    return {family: by_family[family] for family in sorted(by_family)}


def _across_species(by_family: Mapping[str, list[Animal]], limit: int) -> Pairs:
    pairs: Pairs = {}
    for family, members in by_family.items():
        couples = (couple for couple in combinations(members, 2) if couple[0].species != couple[1].species)
        _add(pairs, family, couples, limit)
    return pairs


def _across_families(by_family: Mapping[str, list[Animal]], limit: int) -> Pairs:
    pairs: Pairs = {}
    for first, second in combinations(by_family, 2):
        couples = ((one, two) for one in by_family[first] for two in by_family[second])
        _add(pairs, ALL, couples, limit)
    return pairs


def _add(pairs: Pairs, category: str, couples: Iterable[_Couple], limit: int | None) -> None:
    """Adds pairs with enough common key points to a category, the first ones by hash where too many."""
    keyed = [_keyed(couple) for couple in couples if couple[0].shares(couple[1])]
    if limit is not None and limit < len(keyed):
        keyed = nsmallest(limit, keyed)
    if keyed:
        pairs.setdefault(category, []).extend(_name(*key) for key in keyed)


def _keyed(couple: _Couple) -> tuple[bytes, str, str]:
    """A pair's hash, and its pictures, the one of the lower id first."""
    first, second = couple[0].picture, couple[1].picture
    if id_order(second) < id_order(first):
        first, second = second, first
    return _digest("pair", first, second), first, second


def _name(digest: bytes, first: str, second: str) -> str:
    """A pair's name; its hash decides which of the two is the source."""
    return f"{second}-{first}" if digest[-1] % 2 else f"{first}-{second}"


def _sorted(pairs: Pairs) -> Pairs:
    """Categories by name, and pairs by the ids of their pictures."""
    return {category: sorted(pairs[category], key=_id_orders) for category in sorted(pairs)}


def _id_orders(name: str) -> tuple[tuple[int, str], ...]:
    return tuple(id_order(picture) for picture in name.split("-"))
