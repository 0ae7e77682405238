"""`bench train` for matchers: what it leaves, what it measures, going on where it stopped, and mistakes."""

from __future__ import annotations

import json
import shlex
import signal
from dataclasses import replace

import pytest
import torch
from support.matcher_trainings import make_workspace, train_words, weight_bytes

import matchers.training.loop
from harness.cli import status
from matchers.backbones.checkpoints import read_checkpoint
from matchers.dhpf.objective import OBJECTIVE


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return make_workspace(tmp_path_factory.mktemp("matchers"))


@pytest.fixture(scope="module")
def whole(workspace, tmp_path_factory):
    """Folder of a training that nobody disturbed."""
    folder = tmp_path_factory.mktemp("whole") / "out"
    assert status(train_words(workspace, "dhpf", out=folder)) == 0
    return folder


def test_what_a_training_leaves_behind(whole, workspace):
    record = json.loads((whole / "record.json").read_text())
    assert (record["status"], record["step"], record["source"]) == ("finished", 4, "dhpf")
    assert record["settings"]["recipe"] == "small" and record["settings"]["training"]["image_size"] == 64
    assert record["published"]["image_size"] == 240 and record["published"]["epochs"] == 5
    assert [measured["step"] for measured in record["validation"]] == [0, 2, 4]
    assert record["best_step"] in (2, 4) and set(record["files"]) == {"best.safetensors", "last.safetensors"}
    assert record["weights"]["resnet101"] and record["seconds_per_step"] > 0
    log = [json.loads(line) for line in (whole / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == [1, 2, 3, 4]
    assert {"loss", "loss_match", "rate", "validation_pck"} <= set(log[1])
    file = read_checkpoint(whole / "best.safetensors")
    assert file.settings["method"] == "dhpf" and file.settings["image_size"] == 64
    assert file.settings["step"] == record["best_step"]
    assert not any(name.startswith("backbone") for name in file.tensors)


def test_validation_and_evaluation_agree(whole, workspace, tmp_path, bench):
    done = bench(*train_words(workspace, "dhpf", out=whole))
    assert done.status == 0, done.err
    path, evaluate = done.out.splitlines()
    record = json.loads((whole / "record.json").read_text())
    pck = {measured["step"]: measured["pck"] for measured in record["validation"]}[record["best_step"]]
    assert f"validation PCK@0.1 {pck:.2f} at step {record['best_step']}" in path
    words = shlex.split(evaluate)[1:]
    assert f"dhpf={whole / 'best.safetensors'}" in words
    assert bench(*words, "--alphas", "0.1", "--device", "cpu", "--out", tmp_path / "results").status == 0
    (cell,) = (tmp_path / "results").glob("*/record.json")
    scores = json.loads(cell.read_text())["scores"]
    (measured,) = (s["pck"] for s in scores if s["slice"] == "all" and s["averaging"] == "image")
    assert measured == pytest.approx(pck, abs=1e-9)


def test_a_training_that_was_stopped_gives_the_bytes_of_one_that_was_not(
    whole, workspace, tmp_path, monkeypatch
):
    update, calls = matchers.training.loop.Training._update, []

    def failing(training):
        calls.append(training.step)
        if calls == [0, 1, 2, 3]:
            raise RuntimeError("a power cut")
        return update(training)

    monkeypatch.setattr(matchers.training.loop.Training, "_update", failing)
    words = train_words(workspace, "dhpf", out=tmp_path)
    with pytest.raises(RuntimeError, match="power cut"):
        status(words)
    assert status(words) == 0
    assert calls == [0, 1, 2, 3, 2, 3]
    assert weight_bytes(tmp_path) == weight_bytes(whole)


def test_a_signal_saves_the_step_it_comes_at(whole, workspace, tmp_path, monkeypatch):
    update = matchers.training.loop.Training._update

    def interrupted(training):
        if training.step == 0:
            signal.raise_signal(signal.SIGTERM)
        return update(training)

    words = train_words(workspace, "dhpf", out=tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(matchers.training.loop.Training, "_update", interrupted)
        assert status(words) == 128 + signal.SIGTERM
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 1
    assert status(words) == 0
    assert weight_bytes(tmp_path) == weight_bytes(whole)


def test_a_loss_that_is_not_finite_ends_the_training_in_one_line(workspace, tmp_path, bench, monkeypatch):
    def failing(network, batch, settings, generator):
        losses = OBJECTIVE.loss(network, batch, settings, generator)
        return losses if batch.step < 3 else {"loss": losses["loss"] / 0}

    monkeypatch.setattr("matchers.dhpf.objective.OBJECTIVE", replace(OBJECTIVE, loss=failing))
    words = train_words(workspace, "dhpf", out=tmp_path)
    done = bench(*words)
    assert done.status == 1
    _, complaint = done.warnings
    # The first is on the few photos that are trained on and validated on.
    assert "the loss is inf at step 4" in complaint and "lower --rate" in complaint
    record = json.loads((tmp_path / "record.json").read_text())
    assert (record["status"], record["step"]) == ("stopped", 3)
    assert read_checkpoint(tmp_path / "best.safetensors").settings["step"] == 2


@pytest.mark.parametrize(
    ("method", "further", "options", "message"),
    [
        ("dhpf", ("--set", "hiden=3"), {}, "no such setting; it has"),
        ("dhpf", ("--set", "hidden=many"), {}, "'many' is not a whole number"),
        ("dhpf", ("--set", "hidden"), {}, "expected NAME=VALUE"),
        ("dhpf", ("--set", "optimizer=lion"), {}, "--set optimizer: 'lion'"),
        ("dhpf", ("--weights", "dhpf=x.pt"), {}, "what the training makes"),
        ("sfnet", (), {}, "has no masks of its objects"),
        ("hog", (), {}, "'hog' has nothing to train; those that have are"),
        ("dhpf", (), {"split": "train"}, "has the splits test"),
        ("dhpf", (), {"weights": "resnet101=nothing.pth"}, "does not exist"),
    ],
)
def test_a_users_mistake_is_one_line(workspace, tmp_path, bench, method, further, options, message):
    done = bench(*train_words(workspace, method, *further, **{"out": tmp_path / "out", **options}))
    assert done.status == 2
    assert message in done.complaint


def test_other_settings_are_not_gone_on_with(whole, workspace, bench):
    for further, message in (
        (("--seed", "1"), "seed 0"),
        (("--rate", "0.5"), "rate 0.03"),
        (("--set", "hidden=8"), "hidden 16"),
    ):
        done = bench(*train_words(workspace, "dhpf", *further, out=whole))
        assert done.status == 2 and message in done.complaint
