"""Small trainings of prompts: photos of two categories, miniature networks, and a few steps."""

from __future__ import annotations

from pathlib import Path

import torch
from support.paths import PIPELINE
from support.photos import make_photos, read_list, write_list
from transformers import Dinov2Config, Dinov2Model

from harness.plugins.host import Host
from harness.running.clock import StageClock
from harness.sweep import DatasetChoice
from harness.weights.choice import WeightChoice
from sd4match_plugin.tuning.job import Job, Request, make_job
from sd4match_plugin.tuning.processes import Processes
from sd4match_plugin.tuning.settings import USER_SETTINGS, Settings

ONE_PROCESS = Processes(0, 1, "cpu")

ROUNDING = 0.01
"""Largest relative difference of gradients; the miniature's made-up weights enlarge rounding."""


def make_workspace(folder: Path) -> Path:
    """Makes photos of two categories and a small DINO; trainings keep their encoded pictures there, too."""
    photos = make_photos(folder / "photos")
    content = read_list(photos)
    for number, pair in enumerate(content["pairs"]):
        pair["category"] = "blob" if number % 2 else "spot"
    write_list(photos, content)
    torch.manual_seed(0)
    config = Dinov2Config(
        hidden_size=24, num_hidden_layers=1, num_attention_heads=2, image_size=56, patch_size=14
    )
    Dinov2Model(config).save_pretrained(folder / "vit")
    return folder


def train_words(workspace: Path, method: str, **options: object) -> list[str]:
    """The words of a `bench train`; an option of None is left out."""
    values = {
        "dataset": f"folder={workspace / 'photos'}",
        "split": "test",
        "validation-split": "test",
        "steps": 4,
        "batch": 3,
        "validate-every": 2,
        "device": "cpu",
        "cache": workspace / "cache",
    }
    for name, value in options.items():
        values[name.replace("_", "-")] = value
    words = ["train", method]
    for name, value in values.items():
        if value is not None:
            words += [f"--{name}", str(value)]
    for weights in _weights(workspace):
        words += ["--weights", weights]
    return words


def make_training(
    host: Host,
    workspace: Path,
    out: Path,
    method: str = "sd4match-single",
    processes: Processes = ONE_PROCESS,
    **options: object,
) -> Job:
    """A training, ready to go. Options are fields of `Request`, or settings."""
    options = {"steps": 4, "batch": 3, "validation_split": "test", "validate_every": 2} | options
    settings = {name: options.pop(name, Settings.model_fields[name].default) for name in USER_SETTINGS}
    request = Request(
        method=method,
        dataset=DatasetChoice("folder", workspace / "photos"),
        data_root=workspace,
        weights=WeightChoice.parse(host, _weights(workspace)),
        out=out,
        cache=workspace / "cache",
        device="cpu",
        settings=settings,
        split="test",
        **options,
    )
    return make_job(host, request, processes, lambda kind, done, total: None, StageClock(), "now")


def gradient_distance(gradient: torch.Tensor, expected: torch.Tensor) -> float:
    """Length of the difference of two gradients, divided by the expected one's."""
    return float((gradient - expected).norm() / expected.norm())


def prompt_bytes(folder: Path) -> list[bytes]:
    """The content of a training's prompt files."""
    return [(folder / name).read_bytes() for name in ("best.safetensors", "last.safetensors")]


def _weights(workspace: Path) -> list[str]:
    return [f"stable-diffusion-2-1={PIPELINE}", f"dinov2-base={workspace / 'vit'}"]
