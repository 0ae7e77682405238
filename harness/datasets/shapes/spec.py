"""The record of `shapes`, described without importing what draws it."""

from __future__ import annotations

from pathlib import Path

from harness.citations import HARNESS
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
    citation=HARNESS,
    description="10 categories of drawn objects, made from a seed, nothing to download; "
    "threshold: the target's box",
)
