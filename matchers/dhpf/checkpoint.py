"""DHPF's checkpoint: the learner alone, whose backbone is a published ResNet that was never tuned."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from harness.errors import UserError
from matchers.backbones.checkpoints import input_side, load_tensors, read_checkpoint
from matchers.backbones.resnet import ResNet
from matchers.dhpf.network import Learner, Widths

PUBLISHED_SIZE = 240
"""Side in pixels of the square input, of the authors' files, which do not state it."""


@dataclass(frozen=True, eq=False)
class LearnerFile:
    """A checkpoint that was read.

    Attributes:
        learner: in evaluation mode, on the CPU.
        image_size: side in pixels of the square input.
    """

    learner: Learner
    image_size: int


def read_learner(path: Path) -> LearnerFile:
    """Reads a checkpoint; the number of levels and all widths follow from its tensors.

    Raises `UserError` where it is another network's, or damaged.
    """
    checkpoint = read_checkpoint(path)
    side = input_side(checkpoint.settings, path, PUBLISHED_SIZE)
    learner = Learner(Widths.of(checkpoint.tensors))
    load_tensors(learner, checkpoint.tensors, path)
    return LearnerFile(learner.eval().requires_grad_(False), side)


def read_all_levels(backbone: ResNet, pixels: Tensor) -> list[Tensor]:
    """All levels (B, C, h, w) of a batch (B, 3, side, side), blocks before the ReLU that ends them."""
    return backbone(pixels, range(backbone.last_level + 1), before_relu=True)  # type: ignore[no-any-return]


def check_backbone(learner: Learner, backbone: ResNet, learner_path: Path, backbone_path: Path) -> None:
    """Raises `UserError` where a checkpoint was made for a backbone of other levels."""
    made_for, actual = learner.widths.channels, backbone.channels
    if made_for != actual:
        raise UserError(
            f"{learner_path}: was trained with a backbone of {len(made_for)} levels, {made_for[0]} to "
            f"{made_for[-1]} channels wide, and {backbone_path} has {len(actual)} levels, {actual[0]} to "
            f"{actual[-1]} wide; give the backbone that belongs to it with --weights resnet101=FILE"
        )
