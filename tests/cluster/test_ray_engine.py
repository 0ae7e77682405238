"""`bench run --engine ray`: the bytes of one process, whatever happens to workers, nodes and the run."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from support.photos import draw, make_photos, read_list, write_list
from support.ray_nodes import (
    SITE,
    call,
    environment,
    is_running,
    locally,
    on_cluster,
    wait_until,
    waiting_processes,
)
from support.results import predictions


def records(out):
    return {path.parent.name: json.loads(path.read_text()) for path in sorted(out.glob("*/record.json"))}


def scores(out):
    return {name: record["scores"] for name, record in records(out).items()}


def test_the_bytes_of_one_process(head, extra, tmp_path):
    extra()
    arguments = ("--methods", "position,hog", "--limit", 40, "--localizers", "argmax,bilinear")
    alone = locally(tmp_path / "alone", *arguments)
    outcome = call(on_cluster(head, tmp_path / "out", *arguments))
    assert outcome.status == alone.status == 0, outcome.err
    assert predictions(tmp_path / "out") == predictions(tmp_path / "alone")
    assert scores(tmp_path / "out") == scores(tmp_path / "alone")
    # Nothing of Ray's own is printed: to stdout least of all.
    assert outcome.out == alone.out
    # Progress is told on a slow machine alone.
    told = [line for line in outcome.warnings if not re.match(r"bench: \d+ cells?: ", line)]
    assert told == [f"bench: Ray: the cluster at {head.address}"]
    for record in records(tmp_path / "out").values():
        provenance = record["provenance"]
        assert 1 <= provenance["nodes"] == provenance["workers"] <= 2
        assert provenance["hardware"]["torch_threads"] == "1"
    # A run of which everything is there needs no worker, and says the same.
    again = call(on_cluster(head, tmp_path / "out", *arguments))
    assert (again.status, again.out) == (0, alone.out)


def test_a_sweep_of_networks_and_a_learned_prompt_whose_node_leaves(head, extra, tmp_path):
    node = extra()
    few = ("--limit", 12, "--batch-size", 2, "--ensembles", 1)
    arguments = ("--methods", "sd4match-cpm,dift,dinov2", "--localizers", "argmax,kernel-softmax", *few)
    run = subprocess.Popen(
        on_cluster(head, tmp_path / "out", *arguments),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    # Predictions have arrived, and others are on their way.
    wait_until(lambda: any(tmp_path.glob("out/*/shards/*.parquet")) or run.poll() is not None)
    is_in_the_middle = run.poll() is None
    head.remove(node)
    out, errors = run.communicate()
    assert run.returncode == 0, errors
    assert is_in_the_middle
    alone = locally(tmp_path / "alone", *arguments)
    assert predictions(tmp_path / "out") == predictions(tmp_path / "alone")
    assert scores(tmp_path / "out") == scores(tmp_path / "alone")
    assert out == alone.out


GATED = ("--methods", "trouble-gated", "--limit", 60, "--batch-size", 2)


@pytest.fixture(scope="session")
def gated_alone(tmp_path_factory):
    """What one process makes of the extractor that waits."""
    folder = tmp_path_factory.mktemp("alone")
    (folder / "open").touch()
    assert locally(folder / "out", *GATED, meeting=folder).status == 0
    return predictions(folder / "out")


def test_nodes_that_join_and_leave_in_the_middle(head, extra, meeting, tmp_path, gated_alone):
    run = subprocess.Popen(
        on_cluster(head, tmp_path / "out", *GATED),
        env=environment(meeting),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: len(waiting_processes(meeting)) == 1 or run.poll() is not None)
    node = extra()
    # The worker of the new node has predicted pairs, and is in the middle of others.
    wait_until(lambda: len(waiting_processes(meeting)) == 2 or run.poll() is not None)
    head.remove(node)
    (meeting / "open").touch()
    _, errors = run.communicate()
    assert run.returncode == 0, errors
    assert predictions(tmp_path / "out") == gated_alone
    assert "has left the cluster; the others go on with its pairs" in errors
    (record,) = records(tmp_path / "out").values()
    assert record["provenance"]["nodes"] == 2
    assert record["provenance"]["computed_pairs"] == 60


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_ends_in_the_middle_goes_on(sign, head, meeting, tmp_path, gated_alone):
    words = on_cluster(head, tmp_path / "out", *GATED)
    run = subprocess.Popen(
        words, env=environment(meeting), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    wait_until(lambda: waiting_processes(meeting) or run.poll() is not None)
    wait_until(lambda: any(tmp_path.glob("out/*/shards/*.parquet")))
    run.send_signal(sign)
    _, errors = run.communicate()
    if sign == signal.SIGINT:
        assert run.returncode == 130
        assert errors.splitlines()[-1] == "bench: interrupted; the same command goes on where it stopped"
    # Workers end with the run they work for.
    wait_until(lambda: not any(map(is_running, waiting_processes(meeting))))
    (meeting / "open").touch()
    again = call(words, meeting)
    assert again.status == 0, again.err
    assert predictions(tmp_path / "out") == gated_alone
    (record,) = records(tmp_path / "out").values()
    assert 0 < record["provenance"]["computed_pairs"] < 60


def test_a_worker_that_is_killed_in_the_middle(head, meeting, tmp_path):
    words = ("--methods", "trouble-once", *GATED[2:])
    outcome = call(on_cluster(head, tmp_path / "out", *words), meeting)
    assert outcome.status == 0, outcome.err
    assert (meeting / "killed").exists()
    assert locally(tmp_path / "alone", *words, meeting=meeting).status == 0
    assert predictions(tmp_path / "out") == predictions(tmp_path / "alone")
    (line,) = [line for line in outcome.warnings if "a worker is gone" in line]
    log = re.search(r"its output is in (\S+) there", line)
    assert log and Path(log[1]).exists()


def rows(out, method=""):
    (path,) = out.glob(f"*{method}*/predictions.parquet")
    return pq.read_table(path).select(["pair_id", "x", "y"]).to_pylist()


def test_a_pair_that_kills_and_a_method_that_cannot_be_made(head, extra, meeting, tmp_path):
    extra()
    photos = make_photos(tmp_path / "photos")
    # One of the pictures kills, and one of the seven pairs has it.
    draw(photos / "photo0.png", 0, size=(64, 48))
    content = read_list(photos)
    with_it = [pair for pair in content["pairs"] if "photo0.png" in (pair["source"], pair["target"])]
    content["pairs"] = [pair for pair in content["pairs"] if pair not in with_it[1:]]
    write_list(photos, content)
    # Pictures of one batch are computed together, and would all be lost.
    arguments = ("--datasets", f"folder={photos}", "--batch-size", 1)
    methods = "trouble-deadly,trouble-broken,trouble-plain"
    outcome = call(on_cluster(head, tmp_path / "out", "--methods", methods, *arguments), meeting)
    assert outcome.status == 1, outcome.err
    cells = {record["cell"]["method"]: record for record in records(tmp_path / "out").values()}
    assert cells["trouble-broken"]["status"] == "failed"
    assert "no such layer" in cells["trouble-broken"]["error"]["message"]
    assert cells["trouble-plain"]["status"] == "ok"
    assert cells["trouble-deadly"]["status"] == "partial"
    (failure,) = cells["trouble-deadly"]["failures"]
    assert "workers died over it" in failure["error"]
    (info,) = cells["trouble-deadly"]["localizers"].values()
    assert (info["pairs"], info["failed"]) == (6, 1)
    # All others are what one process makes of them.
    assert locally(tmp_path / "alone", "--methods", "trouble-plain", *arguments).status == 0
    kept = rows(tmp_path / "out", "trouble-deadly")
    assert kept == [row for row in rows(tmp_path / "alone") if row["pair_id"] != failure["pair_id"]]


def test_a_node_with_other_code(head, extra, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(SITE, other)
    module = other / "bench_trouble.py"
    module.write_text(module.read_text().replace("/ 255", "/ 256"))
    extra(PYTHONPATH=environment()["PYTHONPATH"].replace(str(SITE), str(other)))
    outcome = call(on_cluster(head, tmp_path / "out", "--methods", "trouble-plain", "--limit", 10))
    assert outcome.status == 2
    line = outcome.warnings[-1]
    assert line.startswith("bench: node ")
    assert "the extractor of trouble-plain is trouble (bench-trouble 1, code " in line
    assert not predictions(tmp_path / "out")


def test_resources_that_never_come(head, tmp_path):
    words = on_cluster(head, tmp_path / "out", "--methods", "position", "--gpus-per-worker", 1)
    words[words.index("--start-timeout") + 1] = "1"
    outcome = call(words)
    assert outcome.status == 2, outcome.err
    assert outcome.warnings[-1].startswith(
        "bench: no worker has started in 1 s: each worker asks for 1 GPU and 1 thread, and the cluster has "
        "1 node with 1 CPU and no GPU; ask for less ("
    ), outcome.err


def test_the_function_of_python(head, tmp_path, monkeypatch):
    import ray

    import harness

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    ray.init(address=head.address, logging_level="ERROR", log_to_driver=False)
    try:
        frame = harness.run(
            "position", limit=10, out=tmp_path / "out", engine="ray", workers_per_node=1, progress=False
        )
        # The cluster is the caller's, and stays.
        assert ray.is_initialized()
    finally:
        ray.shutdown()
    assert len(frame) == 1
    assert locally(tmp_path / "alone", "--methods", "position", "--limit", 10).status == 0
    assert predictions(tmp_path / "out") == predictions(tmp_path / "alone")
