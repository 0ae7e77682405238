"""Cells and trainings of matchers with the bundled weights: the same bytes however the work was cut."""

from __future__ import annotations

import json
from signal import SIGINT, SIGKILL, SIGTERM

import pytest
from killing import Scene, read_results
from support.photos import make_photos
from support.results import predictions

METHODS = (
    *("ncnet", "sfnet", "pmd", "pwarpc-ncnet", "cats", "dhpf"),
    *("chm", "scorrsan", "transformatcher", "semimatch", "simsc"),
)


def test_predictions_do_not_depend_on_order_resume_and_the_other_cells(bench, tmp_path):
    def run(folder, methods, limit):
        done = bench("run", "--methods", ",".join(methods), "--limit", limit, "--out", tmp_path / folder)
        assert done.status == 0, done

    run("whole", METHODS, 2)
    run("cut", METHODS[::-1], 1)
    run("cut", METHODS, 2)
    whole = predictions(tmp_path / "whole")
    assert len(whole) == len(METHODS)
    assert predictions(tmp_path / "cut") == whole
    cells = [json.loads(path.read_text())["cell"] for path in tmp_path.glob("whole/*/record.json")]
    assert {cell["method"] for cell in cells} == set(METHODS)
    # The bundled files were trained on shapes, whatever the published ones were trained on.
    assert {cell["trained_on"] for cell in cells} == {"shapes"}
    assert {cell["supervision"] for cell in cells} == {"I", "K"}


RUN = (
    *("run", "--methods", "ncnet,cats,dhpf,pmd", "--datasets", "folder=photos"),
    *("--localizers", "argmax,four-cells", "--out", "results"),
)

TRAINING = (
    *("train", "ncnet", "--steps", "4", "--batch-size", "2", "--save-every", "2", "--validate-every", "2"),
    *("--limit-train", "8", "--limit-validation", "2", "--set", "image_size=96", "--out", "net"),
)

some_kills = pytest.mark.parametrize("count", range(3))
each_signal = pytest.mark.parametrize("number", [SIGKILL, SIGTERM, SIGINT], ids=lambda number: number.name)


def read_training(folder):
    """The networks as bytes, and the log without speed."""
    log = [json.loads(line) for line in (folder / "net" / "log.jsonl").read_text().splitlines()]
    for line in log:
        line.pop("seconds_per_step", None)
    networks = {path.name: path.read_bytes() for path in sorted((folder / "net").glob("*.safetensors"))}
    return {"networks": networks, "log": log}


@pytest.fixture(scope="module")
def run_scene(warm, start):
    make_photos(start / "photos", images=4)
    return Scene(warm, start, RUN, lambda folder: read_results(folder / "results"))


@pytest.fixture(scope="module")
def training_scene(warm, tmp_path_factory):
    return Scene(warm, tmp_path_factory.mktemp("training"), TRAINING, read_training)


@each_signal
@some_kills
def test_a_killed_run_of_matchers_goes_on_to_the_same_bytes(run_scene, instants, tmp_path, number, count):
    run_scene.check(run_scene.draw(number, count, instants), tmp_path / "killed")


@each_signal
@some_kills
def test_a_killed_training_goes_on_to_the_same_network(training_scene, instants, tmp_path, number, count):
    training_scene.check(training_scene.draw(number, count, instants), tmp_path / "killed")
