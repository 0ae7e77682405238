"""SIGKILL, SIGTERM and SIGINT at random instants of `bench train`."""

from __future__ import annotations

import json

import pytest
from killing import Scene, every_kill, every_signal
from support.trainings import make_workspace, prompt_bytes, train_words

OPTIONS = {"steps": 6, "batch": 2, "save_every": 3, "validate_every": 3, "out": "prompt", "cache": "cache"}


def read(folder):
    """The learned prompts as bytes, the log, and the end of the record."""
    prompt = folder / "prompt"
    # Speed is another every time.
    log = [json.loads(line) for line in (prompt / "log.jsonl").read_text().splitlines()]
    for line in log:
        line.pop("seconds_per_step", None)
    record = json.loads((prompt / "record.json").read_text())
    return {"prompts": prompt_bytes(prompt), "log": log, "state": record.get("state", record.get("status"))}


@pytest.fixture(scope="module")
def scene(warm, start, tmp_path_factory):
    # In the folder that it runs in, so that copies of the folder say the same.
    words = train_words(make_workspace(start), "sd4match-single", **OPTIONS)
    words = [word.replace(f"{start}/", "") for word in words]
    return Scene(warm, start, words, read)


@every_kill
def test_a_killed_training_goes_on_to_the_same_prompt(scene, instants, tmp_path, number, count):
    scene.check(scene.draw(number, count, instants), tmp_path / "killed")


@every_signal
def test_a_training_that_was_begun_as_any_command_goes_on(scene, instants, tmp_path, number):
    scene.check_begun_anew(number, instants, tmp_path / "killed")
