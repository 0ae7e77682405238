"""Ours beside the authors' own scripts: the very lists, what is kept of a picture, ratios and verdicts.

Nothing is timed.
"""

from __future__ import annotations

from collections import Counter

import published
import published_points
import pytest
import torch
from authors_scripts import ALL_OF_TWENTY, EVERY_FOURTH, FORTY, RECURRING, TIMED, there_and_back
from beside_authors import Beside, rows_of_timed, tabulate_beside
from one_thread import Seconds, run_on_one_thread
from ours import Setup
from recreated_scripts import ScriptCost, time_script
from shape_pairs import among, write_couples
from startup import Start
from support.markdown import cells_of_markdown
from targets import Memory, targets

from harness.datasets.splits import read_split
from harness.frames import Frame, Size
from harness.localizers.catalogue import LOCALIZERS
from harness.specs import FeatureMap

MEMORY = Memory(600, 610, 700, "40 pairs", "150 pairs")


def test_lists_are_those_that_the_authors_scripts_were_timed_on(tmp_path):
    told = [workload.describe() for workload in (ALL_OF_TWENTY, EVERY_FOURTH, FORTY, RECURRING)]
    assert told == [
        "380 pairs of 20 pictures",
        "150 pairs of 200 pictures",
        "40 pairs of 73 pictures",
        "200 pairs of 20 pictures",
    ]
    index = read_split(Setup(tmp_path, tmp_path).host.datasets["folder"], FORTY.write(tmp_path), "test")
    assert not index.broken
    assert sum(len(pair.keypoint_ids) for pair in index.pairs.values()) == 375


def test_a_list_there_and_back_reads_each_map_once_more_at_its_end():
    there, both = FORTY.couples(), there_and_back(FORTY).couples()
    assert both[: len(there)] == there
    assert [couple[::-1] for couple in both[len(there) :]] == there
    assert there_and_back(FORTY).describe() == "80 pairs of 73 pictures"


def test_each_picture_recurs_as_often_as_the_others():
    couples = among(20, 200)
    assert set(Counter(image.name for couple in couples for image in couple).values()) == {20}
    assert len(set(couples)) == 200
    with pytest.raises(ValueError, match="50 pairs of 20 pictures"):
        among(20, 50)


@pytest.mark.parametrize("name", ["argmax", "bilinear", "soft-argmax"])
def test_sd4matchs_localizers_find_what_ours_find(name):
    random = torch.Generator().manual_seed(0)
    source, target = torch.randn(2, 16, 24, 24, generator=random)
    side, points = 96, torch.rand(12, 2, generator=random) * 94
    size = Size(side, side)
    ours = next(spec for spec in LOCALIZERS if spec.name == name).make()
    maps = (FeatureMap(data, Frame.stretched(size, size)) for data in (source, target))
    found = getattr(published_points, name.replace("-", "_"))(source, target, points, side)
    torch.testing.assert_close(found.double(), ours(*maps, points.double()).points, rtol=0, atol=0.01)


@pytest.mark.parametrize(("method", "maps"), [("dift", 5), ("sd4match-single", 5), ("sd4match-cpm", 2 * 4)])
def test_the_re_creation_keeps_of_a_picture_what_the_scripts_keep(method, maps, tmp_path, monkeypatch):
    """Four pairs of five pictures: a map each, besides those that are timed, or two for every pair."""
    setup = Setup(write_couples(tmp_path / "data", among(5)[:4]), tmp_path / "work")
    made = []

    def features(diffusion, image, states):
        made.append(image)
        return torch.rand(8, 24, 24)

    def pair_maps(diffusion, images, states):
        return [features(diffusion, image, states) for image in images]

    monkeypatch.setattr(published, "dift_features", features)
    monkeypatch.setattr(published, "sd4match_maps", pair_maps)
    diffusion = type("Diffusion", (), {"side": 96})()
    cost = time_script(setup, diffusion, method, 2, 4)
    assert (cost.pictures, cost.pairs) == (5, 4)
    if method == "sd4match-cpm":
        assert (len(made), cost.per_picture) == (maps, 0)
    else:
        assert len(made) == 1 + 2 + maps


PROGRAM = """
import json, os, pathlib, sys, time

def main():
    command, *options = sys.argv[1:]
    is_counted = time.perf_counter is time.process_time
    threads = int(os.environ["OMP_NUM_THREADS"])
    cell = pathlib.Path(options[options.index("--out") + 1], "cell")
    cell.mkdir(parents=True)
    seconds = {"load": 8 * threads, "extract": 2 * is_counted, "locate": command == "run", "score": 16}
    stages = {name: {"seconds": value} for name, value in seconds.items()}
    (cell / "record.json").write_text(json.dumps({"provenance": {"stages": stages}}))
    return int("--fail" in options)
"""


def test_the_stages_of_a_run_on_one_thread_are_read_in_seconds_of_the_processor(tmp_path):
    (tmp_path / "harness").mkdir()
    (tmp_path / "harness" / "__init__.py").touch()
    (tmp_path / "harness" / "cli.py").write_text(PROGRAM, encoding="utf-8")
    assert run_on_one_thread([], tmp_path / "results", tmp_path) == Seconds(loading=8, features=2, points=1)
    with pytest.raises(RuntimeError, match="exit status 1"):
        run_on_one_thread(["--fail"], tmp_path / "others", tmp_path)


def _rows(ours):
    rows = []
    for timed, workload in rows_of_timed():
        cost = ScriptCost(per_picture=0.5, per_pair=0.25, pictures=20, pairs=40)
        rows.append(Beside(timed, workload, workload, cost, ours))
    return rows


def test_the_authors_seconds_are_the_re_creations_times_what_was_found():
    row = _rows(Seconds(loading=3.0, features=1.5, points=0.5))[0]
    assert row.authors == TIMED[0].recreations * 20
    assert (row.ratio, row.ratio_with_loading) == (row.authors / 2, row.authors / 5)
    assert row.ratio_of_networks == row.authors / 1.5
    table = cells_of_markdown(tabulate_beside([row, *_rows(row.ours)[1:]]))[2:]
    assert table[0][-2] == "75 %"
    assert [cells[1] for cells in table] == ["30.5", "63.9", "37.9", "59.4", "16.1", "not timed", "not timed"]


def test_targets_are_met_or_missed():
    start = Start({"first pair": 6.0}, 1)
    fast, slow = (
        {line.what.split(" ")[0]: line.verdict for line in targets(_rows(ours), start, MEMORY)}
        for ours in (Seconds(3.0, 0.3, 0.2), Seconds(3.0, 12.0, 8.0))
    )
    assert fast["DIFT"] == "met; MISSED with our loading"
    assert (fast["CPM"], slow["CPM"], slow["Single"]) == ("met", "MISSED", "MISSED")
    assert (fast["first"], fast["memory"]) == ("MISSED", "met")
    assert MEMORY._replace(many=690).verdict == "MISSED"
    assert MEMORY._replace(unbounded=612).verdict.startswith("met; tells little")
