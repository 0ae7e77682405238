"""SIGKILL, SIGTERM and SIGINT at random instants of `bench weights fetch`, from a hub on this machine."""

from __future__ import annotations

import json

import pytest
from killing import Scene, every_kill, every_signal
from support.hub_server import Hub

from baselines import published

DINO = {
    "config.json": json.dumps(published.VISION_TRANSFORMERS["dinov2-base"]).encode(),
    "model.safetensors": bytes(range(256)) * 20_000,
}

WORDS = ("weights", "fetch", "dinov2-base", "--weights-root", "weights")


@pytest.fixture(scope="module")
def hub():
    with Hub(repositories={"facebook/dinov2-base": DINO}) as hub:
        yield hub


def read(folder):
    """The fetched files as bytes, and their record without the time."""
    left = {}
    for path in sorted((folder / "weights").rglob("*")):
        if path.is_file():
            left[path.name] = path.read_bytes()
    record = json.loads(left["bench-weights.json"])
    record.pop("fetched", None)
    return {**left, "bench-weights.json": record}


@pytest.fixture(scope="module")
def scene(warm, start, hub):
    return Scene(warm, start, WORDS, read, {"HF_ENDPOINT": hub.url})


@every_kill
def test_a_killed_fetch_goes_on_to_the_same_files(scene, instants, tmp_path, number, count):
    scene.check(scene.draw(number, count, instants), tmp_path / "killed")


@every_signal
def test_a_fetch_that_was_begun_as_any_command_goes_on(scene, instants, tmp_path, number):
    scene.check_begun_anew(number, instants, tmp_path / "killed")
