"""Writes a results folder of SPair-71k's size with made-up pictures and predictions, and sealed records."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import PIL.Image
from pair_graphs import Graph
from simulated_pairs import Model, simulate_luck

from harness.datasets.splits import SplitIndex, read_split
from harness.frames import Size
from harness.plugins.host import Host
from harness.records.folders import write_record
from harness.records.predictions import PREDICTIONS, prediction_table, write_table
from harness.records.schema import CellInfo, Counts, LocalizerInfo, Provenance, Record
from harness.scoring.criteria import averagings_of, frames_of, make_criterion
from harness.scoring.scores import score_all
from harness.scoring.truth import truth_of
from harness.scoring.truth_columns import add_truth

LOCALIZER = "argmax"
FED = Size(768, 768)
SIDES = (500, 375)
"""Of every picture, in pixels."""


def write_pictures(folder: Path, graph: Graph, sides: tuple[int, int] = SIDES) -> None:
    """Writes pictures of noise, and the pairs of a graph with points, boxes and labels at random.

    Args:
        sides: of every picture, in pixels; points and boxes lie within the first 360.
    """
    random = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for number in np.unique(graph.images).tolist():
        noise = random.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        PIL.Image.fromarray(noise).resize(sides).save(folder / f"{number:04d}.jpg")
    pairs = []
    for number, (ends, category) in enumerate(zip(graph.images.tolist(), graph.categories, strict=True)):
        count = int(graph.keypoints[number])
        left, top = random.integers(0, 100, 2).tolist()
        points = random.uniform(0, 250, (2, count, 2)).round(1) + (left, top)
        pairs.append(
            {
                "id": f"{number:06d}",
                "source": f"{ends[0]:04d}.jpg",
                "target": f"{ends[1]:04d}.jpg",
                "category": f"category-{category:02d}",
                "source_points": points[0].tolist(),
                "target_points": points[1].tolist(),
                "target_box": [left, top, left + 260, top + 260],
                "labels": {
                    name: int(random.integers(0, levels))
                    for name, levels in (("viewpoint", 3), ("scale", 3), ("truncation", 4), ("occlusion", 4))
                },
            }
        )
    content = {"name": "spair-sized", "threshold": "box", "pairs": pairs}
    (folder / "pairs.json").write_text(json.dumps(content), encoding="utf-8")


def write_results(host: Host, data: Path, results: Path, graph: Graph, rows: int) -> None:
    """Writes a finished cell for each of several methods that find mostly the same images hard.

    Args:
        data: the folder of `write_pictures`.
    """
    index = read_split(host.datasets["folder"], data, "test")
    # Neighbours are a point of PCK or two apart.
    levels = tuple(np.linspace(0, 0.4, rows).tolist())
    luck = simulate_luck(graph, Model(image_share=0.1), 1, np.random.default_rng(1), levels)
    for number, of_pairs in enumerate(luck):
        _write_cell(host, index, results, f"method-{number:02d}", of_pairs[:, 0], number)


def _write_cell(
    host: Host, index: SplitIndex, results: Path, method: str, luck: np.ndarray, seed: int
) -> None:
    """Writes one cell.

    Args:
        luck: (P,) of each pair in the order of the index: a keypoint's error is below a tenth of the box with
            the probability that the normal distribution has below it.
    """
    random = np.random.default_rng(seed)
    keys = [(pair_id, name) for pair_id in index.pair_ids for name in index.keypoint_ids(pair_id)]
    counts = [len(index.keypoint_ids(pair_id)) for pair_id in index.pair_ids]
    targets = np.concatenate([index.target(pair_id).points for pair_id in index.pair_ids])
    noise = random.standard_normal(len(keys))
    distance = 26 * np.exp((noise - np.repeat(luck, counts)) / 2)
    angle = random.uniform(0, 2 * np.pi, len(keys))
    points = targets + distance[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    columns = {
        "pair_id": [pair_id for pair_id, _ in keys],
        "keypoint_id": [name for _, name in keys],
        "localizer": [LOCALIZER] * len(keys),
        "x": points[:, 0],
        "y": points[:, 1],
        "score": random.uniform(0, 1, len(keys)),
    }
    info = CellInfo(
        id=f"{index.label}-test-{method}.{seed:012x}",
        method=method,
        label=method,
        extractor=method,
        prompt="none",
        dataset=index.label,
        split=index.split,
        seed=0,
        params={},
        backbone="none",
        supervision="none",
        tuned_on=(),
        fed=FED,
    )
    folder = results / info.id
    folder.mkdir(parents=True)
    truth = truth_of(index)
    table = add_truth(prediction_table(columns, {LOCALIZER: "made-up"}), truth)
    sha256 = write_table(folder / PREDICTIONS, table)
    criteria = [make_criterion(host, "sd4match", None)]
    scores, thresholds = score_all(truth, table, criteria, FED, folder / PREDICTIONS)
    record = Record(
        status="ok",
        cell=info,
        counts=Counts(pairs=len(index.pair_ids), excluded=0, absent_points=0, limit=None),
        localizers={
            LOCALIZER: LocalizerInfo(options={}, pairs=len(index.pair_ids), keypoints=len(keys), failed=0)
        },
        thresholds=thresholds,
        frames=frames_of(criteria),
        averagings=averagings_of(criteria),
        scores=scores,
        predictions_sha256=sha256,
        provenance=Provenance(
            versions={},
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
            computed_pairs=len(index.pair_ids),
            stages={},
            gpu_peak_memory_bytes=None,
        ),
    )
    write_record(folder, record)
