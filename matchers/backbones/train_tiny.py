"""Trains the bundled ResNet: `python -m matchers.backbones.train_tiny --work FOLDER`.

It learns to tell the categories of `shapes` apart on pictures of the training split, as the published ResNets
learned ImageNet's. A training that was stopped goes on when the same command is run again.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import PIL.Image
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from baselines.networks.pixels import normalize_pixels
from baselines.tiny.loop import Losses, Schedule, train
from harness.datasets.shapes.catalogue import KINDS
from harness.datasets.shapes.keyed_random import VERSION
from harness.datasets.shapes.pairs import SPLITS, ShapesImage
from harness.files import replacing
from matchers.backbones.checkpoints import save_checkpoint
from matchers.backbones.resnet import ResNet

EMBEDDING, WIDTHS, BLOCKS = 16, (32, 64, 128, 256), (2, 2, 3, 1)
"""Size of the network: about 170,000 parameters; cells of layer3 lie 16 pixels apart."""

STORED = 128
"""Side in pixels at which pictures are kept; they are at most 128 wide and high."""

FED = 160
"""Side in pixels of a view that the network is fed."""

SPLIT = "train"

Batch = tuple[Tensor, Tensor]
"""Views (B, 3, 160, 160) and numbers of categories (B)."""


class Classifier(nn.Module):
    """The ResNet with two classifiers: of the means of layer4 and of layer3, which correspondence reads."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = ResNet(EMBEDDING, WIDTHS, BLOCKS)
        self.levels = [self.backbone.levels_of(layer)[-1] for layer in (3, 4)]
        channels = [self.backbone.channels[level] for level in self.levels]
        self.heads = nn.ModuleList(nn.Linear(width, len(KINDS)) for width in channels)

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """(B, 3, H, W) -> two times (B, categories) logits, layer3's first."""
        maps = self.backbone(pixels, self.levels)
        return [head(states.mean(dim=(2, 3))) for head, states in zip(self.heads, maps, strict=True)]


def draw_pictures(folder: Path) -> tuple[np.ndarray, Tensor]:
    """Draws the pictures of the training split, unless the folder has them.

    Returns:
        (n, 128, 128, 3) uint8, mapped from disk, stretched; (n) number of each picture's category.
    """
    per_category = SPLITS[SPLIT].images
    path = folder / f"classified{VERSION}-{STORED}-{per_category}.npy"
    keys = [(category, index) for index in range(per_category) for category in KINDS]
    if not path.is_file():
        pixels = np.zeros((len(keys), STORED, STORED, 3), dtype=np.uint8)
        for number, (category, index) in enumerate(tqdm(keys, desc="drawing", disable=None)):
            picture = ShapesImage(SPLIT, category, index).open()
            small = picture.resize((STORED, STORED), PIL.Image.Resampling.BILINEAR)
            pixels[number] = np.asarray(small)
        with replacing(path) as file:
            np.save(file, pixels)
    return np.load(path, mmap_mode="r"), torch.arange(len(keys)) % len(KINDS)


def make_views(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Views of pictures: a part of each, turned, mirrored and with other colours, then normalised.

    Args:
        pixels: (B, 3, H, W) in [0, 1].

    Returns:
        (B, 3, 160, 160).
    """
    count = len(pixels)

    def draw(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(count, *shape, generator=generator)

    # A part of 0.6 to 1 times the sides, anywhere in the picture; upsampled to the sizes of evaluations.
    side, angle = draw(0.6, 1.0), draw(-math.pi / 9, math.pi / 9)
    mirror = 1 - 2 * (torch.rand(count, generator=generator) < 0.5).float()
    place = draw(-1, 1, 2) * (1 - side)[:, None]
    across = torch.stack([mirror * side * angle.cos(), -side * angle.sin(), place[:, 0]], dim=1)
    down = torch.stack([mirror * side * angle.sin(), side * angle.cos(), place[:, 1]], dim=1)
    grid = F.affine_grid(torch.stack([across, down], dim=1), [count, 3, FED, FED], align_corners=False)
    views = F.grid_sample(pixels, grid, padding_mode="reflection", align_corners=False)
    # A gain for each channel, and contrast about the mean.
    views = views * draw(0.7, 1.3, 3, 1, 1)
    mean = views.mean(dim=(1, 2, 3), keepdim=True)
    return normalize_pixels(((views - mean) * draw(0.7, 1.3, 1, 1, 1) + mean).clamp(0, 1))


@click.command()
@click.option("--work", type=click.Path(path_type=Path), default=Path("tiny-training"), help="Its folder.")
@click.option("--steps", type=int, default=3000)
@click.option("--rate", type=float, default=3e-3)
@click.option("--batch", type=int, default=32)
@click.option("--threads", type=int, default=1)
def main(work: Path, steps: int, rate: float, batch: int, threads: int) -> None:
    """Trains the network and writes `resnet.safetensors` and `resnet.json` into the folder."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    start = time.perf_counter()
    work.mkdir(parents=True, exist_ok=True)
    pictures, categories = draw_pictures(work)
    network = Classifier()
    # Convolutions on this layout take two thirds of the time; `to` has no type for it.
    untyped: Any = network
    untyped.to(memory_format=torch.channels_last)

    def draw_batch(generator: torch.Generator) -> Batch:
        rows = torch.randint(len(categories), (batch,), generator=generator)
        pixels = torch.from_numpy(pictures[rows.numpy()]).permute(0, 3, 1, 2).float() / 255
        return make_views(pixels, generator).to(memory_format=torch.channels_last), categories[rows]

    def losses_of(_: int, generator: torch.Generator) -> Losses:
        views, targets = draw_batch(generator)
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(views)
        errors = [F.cross_entropy(part.float(), targets, label_smoothing=0.1) for part in logits]
        right = (logits[-1].argmax(1) == targets).float().mean()
        return {"loss": errors[0] + errors[1], "layer3": errors[0], "layer4": errors[1], "right": right}

    train(network, losses_of, Schedule(steps, rate, decay=0.5), work / "resnet")
    _measure_statistics(network, draw_batch)
    save_checkpoint(work / "resnet.safetensors", network.backbone.torchvision_state(), {})
    record = {
        "network": {"embedding": EMBEDDING, "widths": WIDTHS, "blocks": BLOCKS},
        "parameters": sum(parameter.numel() for parameter in network.backbone.parameters()),
        "data": {"dataset": "shapes", "version": VERSION, "split": SPLIT, "pictures": len(categories)},
        "steps": steps,
        "batch": batch,
        "rate": rate,
        "side": FED,
        "seconds": round(time.perf_counter() - start),
    }
    with replacing(work / "resnet.json") as file:
        file.write((json.dumps(record, indent=2) + "\n").encode())


@torch.no_grad()
def _measure_statistics(network: nn.Module, draw_batch: Callable[[torch.Generator], Batch]) -> None:
    """Measures the batch norms' means and variances anew: the averaged weights have others."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        # The plain mean over all batches from here on.
        norm.momentum = None
    for number in range(100):
        network(draw_batch(torch.Generator().manual_seed(number))[0])
    network.eval()


if __name__ == "__main__":
    main()
