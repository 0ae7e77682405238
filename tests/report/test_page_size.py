"""A page of a large run stays small."""

from __future__ import annotations

import numpy as np
import PIL.Image
from support.made_up_records import cell as cell_info
from support.photos import write_list
from support.report_pages import read_galleries

from harness.datasets.splits import read_split
from harness.plugins.loading import load_plugins
from harness.records.folders import write_record
from harness.records.predictions import prediction_table, write_table
from harness.records.schema import Counts, LocalizerInfo, Provenance, Record, Score


def test_a_page_of_a_large_run_is_below_five_megabytes(bench, tmp_path):
    """Noise, which does not compress: 250 pictures, 2,000 pairs in 18 categories, five methods."""
    photos, results = make_large_run(tmp_path)
    page = tmp_path / "page.html"
    data = ("--datasets", f"folder={photos}")
    # Scores that are not those of the predictions would be told.
    assert bench("rescore", results, *data).status == 0
    outcome = bench("report", results, "-o", page, *data)
    assert (outcome.status, outcome.warnings) == (0, [])
    size = page.stat().st_size
    assert 2_000_000 < size < 5_000_000
    (gallery,) = read_galleries(page.read_text())
    assert f"{len(gallery['cards']):,} of 2,000 pairs" in page.read_text()
    assert len(gallery["cards"]) > 30


def make_large_run(folder, pictures=250, pairs=2000, methods=5):
    """Writes photos of noise and a results folder; returns both folders."""
    rng = np.random.default_rng(0)
    photos = folder / "photos"
    photos.mkdir()
    for number in range(pictures):
        noise = rng.integers(0, 256, (100, 130, 3), dtype=np.uint8)
        PIL.Image.fromarray(noise).resize((300, 230)).save(photos / f"{number}.jpg", quality=90)
    points = rng.uniform(20, 200, (pairs, 2, 8, 2)).round(2)
    ends = rng.integers(0, pictures, (pairs, 2))
    names = [f"c{number:02d}" for number in range(18)]
    pair_list = []
    for number, (source, target) in enumerate(ends.tolist()):
        pair_list.append(
            {
                "source": f"{source}.jpg",
                "target": f"{target}.jpg",
                "category": names[number % 18],
                "source_points": points[number, 0].tolist(),
                "target_points": points[number, 1].tolist(),
                "target_box": [10, 10, 210, 210],
            }
        )
    write_list(photos, {"name": "photos", "pairs": pair_list})
    index = read_split(load_plugins().datasets["folder"], photos, "test")
    for number in range(methods):
        predicted = points[:, 1] + rng.normal(0, 10 + 2 * number, (pairs, 8, 2))
        write_cell(folder / "r", f"method-{number}", index, predicted, names)
    return photos, folder / "r"


def write_cell(results, method, index, points, names):
    """Writes a finished cell with made-up predictions; its scores are made up, too."""
    ids = [(pair_id, key) for pair_id in index.pair_ids for key in index.keypoint_ids(pair_id)]
    flat = points.reshape(-1, 2)
    count = len(index.pair_ids)
    columns = {
        "pair_id": [pair_id for pair_id, _ in ids],
        "keypoint_id": [key for _, key in ids],
        "localizer": ["argmax"] * len(ids),
        "x": flat[:, 0],
        "y": flat[:, 1],
        "score": np.zeros(len(ids)),
    }
    parts = ["all", *(f"category={name}" for name in names)]
    scores = [
        Score(
            localizer="argmax",
            protocol="sd4match",
            averaging="image",
            alpha=alpha,
            slice=part,
            pck=40,
            low=39,
            high=41,
            pairs=9,
            keypoints=9,
        )
        for alpha in (0.05, 0.1)
        for part in parts
    ]
    info = cell_info(method, index.label).model_copy(update={"fed": (100, 100)})
    record = Record(
        status="ok",
        cell=info,
        counts=Counts(pairs=count, excluded=0, absent_points=0, limit=None),
        localizers={"argmax": LocalizerInfo(options={}, pairs=count, keypoints=len(ids), failed=0)},
        thresholds={"sd4match": "box"},
        scores=scores,
        provenance=Provenance(
            versions={"python": "3"},
            commit=None,
            dirty=None,
            plugins={},
            weights={},
            manifest=index.manifest,
            hardware={},
            precision="fp32",
            device="cpu",
            batch_size=1,
            started="",
            computed_pairs=count,
            stages={},
            gpu_peak_memory_bytes=None,
        ),
    )
    folder = results / info.id
    folder.mkdir(parents=True)
    write_record(folder, record)
    write_table(folder / "predictions.parquet", prediction_table(columns, {"argmax": "x"}))
