"""Small trainings of matchers: photos of two categories, a ResNet of a few thousand numbers, a few steps."""

from __future__ import annotations

from pathlib import Path

import torch
from support.photos import make_photos, read_list, write_list

from matchers.backbones.checkpoints import save_checkpoint
from matchers.backbones.resnet import ResNet

FILES = ("best.safetensors", "last.safetensors")


def make_workspace(folder: Path) -> Path:
    """Makes photos of two categories, and a ResNet of four layers to start from."""
    photos = make_photos(folder / "photos")
    content = read_list(photos)
    for number, pair in enumerate(content["pairs"]):
        pair["category"] = "blob" if number % 2 else "spot"
    write_list(photos, content)
    torch.manual_seed(0)
    network = ResNet(4, [8, 8, 16, 16], [1, 1, 1, 1])
    save_checkpoint(folder / "resnet.safetensors", network.torchvision_state(), {})
    return folder


def train_words(workspace: Path, method: str, *further: str, **options: object) -> list[str]:
    """The words of a `bench train` for a matcher; an option of None is left out."""
    values = {
        "dataset": f"folder={workspace / 'photos'}",
        "split": "test",
        "validation-split": "test",
        "weights": f"resnet101={workspace / 'resnet.safetensors'}",
        "defaults": "small",
        "steps": 4,
        "batch-size": 2,
        "validate-every": 2,
        "device": "cpu",
    }
    for name, value in options.items():
        values[name.replace("_", "-")] = value
    words = ["train", method, "--no-tensorboard", "--set", "image_size=64"]
    for name, value in values.items():
        if value is not None:
            words += [f"--{name}", str(value)]
    return [*words, *further]


def weight_bytes(folder: Path) -> list[bytes]:
    """The content of a training's files of weights."""
    return [(folder / name).read_bytes() for name in FILES]
