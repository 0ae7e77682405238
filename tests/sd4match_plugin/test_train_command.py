"""`bench train` and `bench ablation`: their results, the files they leave, and messages for mistakes."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from support.trainings import train_words

from sd4match_plugin.prompts import files
from sd4match_plugin.prompts.cpm import ABLATION


@pytest.mark.parametrize("method", ["sd4match-single", "sd4match-class", "sd4match-cpm"])
def test_validation_and_evaluation_agree(workspace, tmp_path, bench, method):
    """`bench run` with the best prompt at the training's timestep, one draw, argmax, gives the PCK it was
    chosen by.
    """
    trained = bench(*train_words(workspace, method, out=tmp_path / "prompt", steps=2))
    assert trained.status == 0, trained.err
    best, evaluate = trained.out.splitlines()
    metadata = files.read(tmp_path / "prompt" / "best.safetensors").metadata
    assert str(tmp_path / "prompt" / "best.safetensors") in best
    arguments = [
        *evaluate.split()[1:],
        "--train-timestep",
        "--ensemble",
        "1",
        "--localizers",
        "argmax",
        "--alphas",
        "0.1",
    ]
    done = bench(*arguments, "--device", "cpu", "--out", tmp_path / "results")
    assert done.status == 0, done.err
    (path,) = (tmp_path / "results").glob("*/record.json")
    (pck,) = (
        score["pck"]
        for score in json.loads(path.read_text())["scores"]
        if score["slice"] == "all" and score["averaging"] == "image"
    )
    # One point of one pair may go the other way: the passes are batched otherwise.
    assert float(metadata["validation_pck"]) == pytest.approx(pck, abs=100 / 12 / 5 + 1e-6)
    assert metadata["timestep"] == "261"


def test_one_command_tunes_and_compares_all_cases(workspace, tmp_path, bench):
    options = train_words(
        workspace, "sd4match-cpm", steps=1, limit_validation=2, limit_train=3, out=tmp_path / "cases"
    )
    command = ["ablation", *options[2:], "--results", tmp_path / "results"]
    done = bench(*command)
    assert done.status == 0, done.err
    rows = [line for line in done.out.splitlines() if line.startswith("| ") and "sd4match-cpm[" in line]
    assert {row.split("prompt-file=")[1].split("/")[0] for row in rows} == set(ABLATION)
    # A number in each row, without interval: the pairs have fewer than ten images.
    assert all(re.search(r"\| +\d+\.\d – ", row) for row in rows)
    tuned = {case: files.read(tmp_path / "cases" / case / "best.safetensors").config for case in ABLATION}
    of_networks = ("image_width", "patches", "text_width", "position_offset")
    sizes = {name: getattr(tuned["pair-patches"], name) for name in of_networks}
    assert tuned == {case: replace(config, **sizes) for case, config in ABLATION.items()}
    # Again: every training is finished, every cell is there.
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "results").rglob("predictions.parquet")}
    assert bench(*command).status == 0
    assert before == {
        path: path.stat().st_mtime_ns for path in (tmp_path / "results").rglob("predictions.parquet")
    }


def test_an_ablation_is_for_one_process(workspace, bench, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    done = bench("ablation")
    assert done.status == 2 and "one process" in done.complaint


def test_a_wrong_split_stops_an_ablation_before_it_tunes(bench, tmp_path):
    done = bench("ablation", "--test-split", "tset", "--out", tmp_path / "cases")
    assert done.status == 2 and "has the splits test, val, train" in done.complaint
    assert not (tmp_path / "cases").exists()


def test_what_a_training_leaves_behind(workspace, tmp_path, bench):
    done = bench(*train_words(workspace, "sd4match-class", out=tmp_path, tensorboard=None))
    assert done.status == 0
    # The few photos of these tests are both, which is told.
    (line,) = done.warnings
    assert "folder:photos test is trained on and validated on: the best prompt is chosen by pairs" in line
    record = json.loads((tmp_path / "record.json").read_text())
    assert record["settings"]["dataset"] == "folder:photos"
    assert record["settings"]["manifest"] and record["weights"]["stable-diffusion-2-1"]["unet/config.json"]
    assert record["trained_parameters"] == 2 * 75 * 8
    assert [validation["step"] for validation in record["validation"]] == [2, 4]
    assert record["best_step"] in (2, 4)
    assert {"train", "validate", "save", "encode", "load"} <= set(record["seconds"])
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == [1, 2, 3, 4]
    assert {"loss", "rate", "seconds_per_step", "validation_pck"} <= set(log[1])
    prompt = files.read(tmp_path / "best.safetensors")
    assert set(prompt.prompts) == {"blob", "spot"}
    assert (prompt.metadata["method"], prompt.metadata["dataset"], prompt.metadata["recipe"]) == (
        "sd4match-class",
        "folder:photos",
        "paper",
    )
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("dift", {}, "'dift' has nothing to train"),
        ("sd4match-singel", {}, "did you mean"),
        ("sd4match-single", {"dataset": "shape"}, "did you mean shapes"),
        ("sd4match-single", {"dataset": "pf-willow", "split": None}, "no training split, only test"),
        ("sd4match-single", {"split": "train"}, "has the splits test"),
        ("sd4match-single", {"rate": "-1"}, "rate"),
        ("sd4match-single", {"rate": "nan"}, "rate"),
        ("sd4match-single", {"tokens": 76}, "1 to 75"),
        ("sd4match-single", {"kernel": 4}, "odd"),
        ("sd4match-single", {"timestep": 1000}, "timesteps 0 to 999"),
        ("sd4match-single", {"recipe": "release", "batch": 4}, "multiple"),
        ("sd4match-cpm", {"ablation": "pair-haed"}, "did you mean pair-head"),
        ("sd4match-single", {"device": "tpu9"}, "--device"),
    ],
)
def test_a_users_mistake_is_one_line(workspace, tmp_path, bench, method, options, message):
    done = bench(
        *train_words(workspace, method, **{"out": tmp_path / "out", "data-root": tmp_path, **options})
    )
    assert done.status == 2
    assert message in done.complaint


def test_missing_weights_are_one_line(workspace, tmp_path, bench):
    done = bench(
        "train",
        "sd4match-single",
        "--weights",
        "paper",
        "--weights-root",
        tmp_path,
        "--out",
        tmp_path / "out",
    )
    assert done.status == 2
    assert "stable-diffusion-2-1" in done.complaint


def test_tensorboard_that_is_asked_for_and_not_there(workspace, tmp_path, bench, monkeypatch):
    monkeypatch.setattr("harness.training.log.find_spec", lambda name: None)
    done = bench(*train_words(workspace, "sd4match-single", out=tmp_path), "--tensorboard")
    assert done.status == 2
    assert "pip install tensorboard" in done.complaint
