"""A training that is stopped and goes on: its bytes, its checkpoint and its best prompt."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict

import pytest
import torch
from support.paths import ROOT
from support.trainings import make_training, prompt_bytes, train_words

from harness.errors import BenchError, UserError
from harness.interrupts import Interrupted, ending_on_signals
from harness.training.checkpoint import History, State, load, save
from sd4match_plugin.prompts import files
from sd4match_plugin.tuning.loss import matching_loss
from sd4match_plugin.tuning.settings import Settings
from sd4match_plugin.tuning.training import Diverged
from sd4match_plugin.tuning.validation import Validation


class Crash(Exception):
    """A power cut."""


@pytest.mark.parametrize("method", ["sd4match-single", "sd4match-cpm"])
def test_a_training_that_was_stopped_gives_the_bytes_of_one_that_was_not(host, workspace, tmp_path, method):
    options = {"steps": 7, "validate_every": 3, "save_every": 2}
    make_training(host, workspace, tmp_path / "whole", method, **options).training.run(None)

    def stop_at(last):
        def progress(step, loss):
            if step == last:
                raise Crash

        return progress

    for last in (1, 5, 6):
        with pytest.raises(Crash):
            make_training(host, workspace, tmp_path / "cut", method, **options).training.run(
                None, stop_at(last)
            )
    resumed = make_training(host, workspace, tmp_path / "cut", method, **options)
    assert resumed.resumed == 4
    resumed.training.run(None)
    assert prompt_bytes(tmp_path / "cut") == prompt_bytes(tmp_path / "whole")
    states = [load(tmp_path / name, resumed.settings, "cpu") for name in ("cut", "whole")]
    assert states[0].history.losses == states[1].history.losses
    assert states[0].history.validation == states[1].history.validation


def test_a_training_that_gets_a_signal_saves_the_step_it_is_at(host, workspace, tmp_path):
    options = {"steps": 7, "validate_every": 3, "save_every": 100}
    make_training(host, workspace, tmp_path / "whole", **options).training.run(None)

    def interrupt(step, loss):
        if step == 2:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Interrupted), ending_on_signals():
        make_training(host, workspace, tmp_path / "cut", **options).training.run(None, interrupt)
    resumed = make_training(host, workspace, tmp_path / "cut", **options)
    assert resumed.resumed == 2
    resumed.training.run(None)
    assert prompt_bytes(tmp_path / "cut") == prompt_bytes(tmp_path / "whole")


def test_a_killed_process_goes_on(workspace, tmp_path, bench):
    """Killed for good (-9) in the middle of step 4."""
    options = {"steps": 6, "save_every": 1, "out": tmp_path / "cut"}
    arguments = train_words(workspace, "sd4match-single", **options)
    code = (
        "import os, signal, sys\n"
        "from harness.cli import status\n"
        "import sd4match_plugin.tuning.gradients as gradients\n"
        "loss, calls = gradients.matching_loss, []\n"
        "def killing(*arguments):\n"
        "    calls.append(1)\n"
        "    if len(calls) == 4: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return loss(*arguments)\n"
        "gradients.matching_loss = killing\n"
        "status(sys.argv[1:])\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], env=environment, capture_output=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert (tmp_path / "cut" / "checkpoint.pt").exists()
    assert bench(*arguments).status == 0
    record = json.loads((tmp_path / "cut" / "record.json").read_text())
    assert (record["step"], record["status"], record["encoded_images"]) == (6, "finished", 0)
    whole = train_words(workspace, "sd4match-single", **{**options, "out": tmp_path / "whole"})
    assert bench(*whole).status == 0
    assert prompt_bytes(tmp_path / "cut") == prompt_bytes(tmp_path / "whole")


def test_more_steps_may_be_asked_for_and_other_settings_not(workspace, tmp_path, bench):
    arguments = {"out": tmp_path, "validate_every": 1}
    assert bench(*train_words(workspace, "sd4match-single", steps=2, **arguments)).status == 0
    for changed, message in (
        ({"rate": 0.5}, "rate 0.01"),
        ({"steps": 1}, "2 steps already"),
        ({"seed": 1}, "seed 0"),
        ({"batch": 2}, "batch 3"),
    ):
        done = bench(*train_words(workspace, "sd4match-single", **{"steps": 2, **arguments, **changed}))
        assert done.status == 2
        assert message in done.complaint or "steps 2" in done.complaint
    longer = bench(*train_words(workspace, "sd4match-single", steps=3, **arguments))
    assert longer.status == 0
    bench(*train_words(workspace, "sd4match-single", steps=3, **{**arguments, "out": tmp_path / "whole"}))
    assert prompt_bytes(tmp_path) == prompt_bytes(tmp_path / "whole")


def test_a_damaged_checkpoint_is_told_in_one_line(workspace, tmp_path, bench):
    (tmp_path / "checkpoint.pt").write_bytes(b"half of one")
    done = bench(*train_words(workspace, "sd4match-single", out=tmp_path))
    assert done.status == 2
    assert "cannot be read as a checkpoint" in done.complaint


def test_every_flipped_bit_of_a_checkpoint_is_found(host, workspace, tmp_path):
    settings = make_training(host, workspace, tmp_path / "out", "sd4match-single", steps=3).settings
    weights = {"prompt": torch.linspace(-1, 1, 50)}
    state = State(2, weights, {"lr": 0.1}, {}, None, History(losses=[(1, 0.5)]))
    save(tmp_path, settings, state)
    path = tmp_path / "checkpoint.pt"
    content = path.read_bytes()
    assert load(tmp_path, settings, "cpu").module["prompt"].equal(weights["prompt"])
    damaged = [content[:-1], content + b"\0", content[: len(content) // 2], content[:-100]]
    # Every byte of the hash at the end, and some of all others, a bit each.
    for position in (*range(0, len(content), 31), *range(len(content) - 80, len(content))):
        changed = bytearray(content)
        changed[position] ^= 1 << position % 8
        damaged.append(bytes(changed))
    for bad in damaged:
        path.write_bytes(bad)
        with pytest.raises(UserError, match="cannot be read as a checkpoint"):
            load(tmp_path, settings, "cpu")


def test_a_checkpoint_of_an_earlier_version_is_read(host, workspace, tmp_path):
    settings = make_training(host, workspace, tmp_path / "out", "sd4match-single", steps=3).settings
    content = {
        **{"step": 2, "module": {}, "optimizer": {}, "scaler": {}, "best": None},
        **{"history": asdict(History()), "settings": settings.model_dump_json()},
    }
    torch.save(content, tmp_path / "checkpoint.pt")
    assert load(tmp_path, settings, "cpu").step == 2


def test_a_loss_that_is_not_finite_stops_and_keeps_the_checkpoint(workspace, tmp_path, bench, monkeypatch):
    calls = []

    def failing(*arguments):
        calls.append(1)
        return matching_loss(*arguments) * (float("nan") if len(calls) == 3 else 1)

    monkeypatch.setattr("sd4match_plugin.tuning.gradients.matching_loss", failing)
    done = bench(
        *train_words(workspace, "sd4match-single", out=tmp_path, save_every=2, validation_split="none")
    )
    assert done.status == 1
    assert done.err.splitlines()[-1].startswith("bench: the loss is nan at step 3;")
    record = json.loads((tmp_path / "record.json").read_text())
    assert record["status"] == "stopped"
    assert load(tmp_path, Settings.model_validate(record["settings"]), "cpu").step == 2
    assert files.read(tmp_path / "last.safetensors").metadata["step"] == "2"
    assert issubclass(Diverged, BenchError)


def test_the_best_prompt_is_kept_and_survives_a_resume(host, workspace, tmp_path, monkeypatch):
    pck = {1: 10.0, 2: 30.0, 3: 20.0, 4: 30.0, 5: 5.0}
    job = make_training(host, workspace, tmp_path, steps=3, validate_every=1)
    monkeypatch.setattr(Validation, "pck", lambda self, prompting: pck[job.training.step])
    job.training.run(None)
    best = files.read(tmp_path / "best.safetensors")
    assert (best.metadata["step"], best.metadata["validation_pck"]) == ("2", "30.000000")
    best_bytes = (tmp_path / "best.safetensors").read_bytes()
    (tmp_path / "best.safetensors").unlink()
    job = make_training(host, workspace, tmp_path, steps=5, validate_every=1)
    job.training.run(None)
    assert (tmp_path / "best.safetensors").read_bytes() == best_bytes
    assert files.read(tmp_path / "last.safetensors").metadata["step"] == "5"
