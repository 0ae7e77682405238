"""What localizers that read annotations are told of a pair's points."""

from __future__ import annotations

import hashlib
import json

from harness.datasets.splits import SplitIndex
from harness.specs import ImagePair, PairAnnotations


def annotations_of(index: SplitIndex, pair: ImagePair) -> PairAnnotations:
    """The partners of a pair's valid points, in their order."""
    names = index.keypoint_ids(pair.pair_id)
    table = index.mirror_partners.get(pair.category, index.mirror_partners.get("", {}))
    places = {name: number for number, name in enumerate(names)}
    # A valid point is visible in both images, and one that is not among them is not.
    return PairAnnotations(tuple(places.get(table.get(name, name), -1) for name in names))


def partners_hash(index: SplitIndex) -> str:
    """The first hex digits of a hash over all partners, which predictions depend on."""
    tables = {category: dict(table) for category, table in index.mirror_partners.items()}
    return hashlib.sha256(json.dumps(tables, sort_keys=True).encode()).hexdigest()[:12]
