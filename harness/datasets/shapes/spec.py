"""The record of `shapes`, described without importing what draws it."""

from __future__ import annotations

from pathlib import Path

from harness.citations import HARNESS
from harness.datasets.symmetry import parse_groups, parse_partners
from harness.specs import DatasetSpec, PairDataset


def _open_shapes(folder: Path, split: str) -> PairDataset:
    from harness.datasets.shapes.pairs import open_shapes

    return open_shapes(folder, split)


SHAPES = DatasetSpec(
    name="shapes",
    open=_open_shapes,
    splits=("test", "val", "train"),
    threshold="box",
    counts={
        "test": {"pairs": 600, "images": 298, "keypoints": 5_739},
        "val": {"pairs": 250, "images": 148, "keypoints": 2_374},
        "train": {"pairs": 6_000, "images": 4_532, "keypoints": 57_066},
    },
    symmetric_keypoints=parse_groups(
        {
            "aeroplane": "5-6 7-8",
            "bicycle": "0-1 7-8 9-10",
            "bird": "10-11",
            "car": "0-1 4-5 6-7 8-9",
            "cat": "0-1 3-4 8-9-10-11",
            "chair": "0-1 4-5 6-7 8-9-10-11",
            "fish": "8-9",
            "horse": "8-9-10-11",
            "house": "3-4 5-6 10-11",
        }
    ),
    mirror_partners=parse_partners(
        {
            "aeroplane": "5-6 7-8",
            "bicycle": "7-8 9-10",
            "bird": "10-11",
            "cat": "0-1 3-4 8-9 10-11",
            "chair": "0-1 4-5 6-7 8-9 10-11",
            "horse": "8-9 10-11",
            "house": "3-4 5-6 10-11",
        }
    ),
    citation=HARNESS,
    description="10 categories of drawn objects, made from a seed, nothing to download; "
    "threshold: the target's box",
)
