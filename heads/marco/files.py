"""MARCO's files of weights, and the network that they and a backbone make."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from baselines.networks.loading import DTYPES
from baselines.vit.backbone import VisionTransformer
from baselines.vit.card import VitCard
from harness.errors import UserError
from heads.marco.network import HeadShape, Marco, MarcoHead
from matchers.backbones.checkpoints import load_tensors, read_checkpoint


def load_head(path: Path) -> MarcoHead:
    """Makes the adapters and the enlargement of a file: the authors', or one of `bench train marco`.

    Raises:
        UserError: one line that names the first tensor that is missing or not the network's.
    """
    tensors = read_checkpoint(path).tensors
    shape = read_shape(tensors, path)
    # The random numbers of a new network are nobody's: those of the run stay as they are.
    with torch.random.fork_rng(devices=()):
        head = MarcoHead(shape)
    load_tensors(head, tensors, path)
    return head.eval().requires_grad_(False)


def read_shape(tensors: Mapping[str, Tensor], path: Path) -> HeadShape:
    """The sizes that tensors have. Raises `UserError` where one is missing from which they follow."""
    try:
        return HeadShape.of(tensors)
    except KeyError as error:
        raise UserError(
            f"{path}: tensor {error.args[0]} is missing; these are not MARCO's weights: give its own file, "
            "which holds adapters and upscale and no backbone"
        ) from error
    except TypeError as error:
        raise UserError(
            f"{path}: a weight of an adapter or of upscale is a single number; these are not MARCO's weights"
        ) from error


def load_marco(backbone: Path, weights: Path, device: str = "cpu", precision: str = "fp32") -> Marco:
    """Makes the network.

    Args:
        backbone: folder of a DINO.
        weights: file of what MARCO learned on it.

    Raises:
        UserError: one of them is not what it should be, or they do not belong together.
    """
    vit = VisionTransformer(backbone, device, precision)
    head = load_head(weights)
    check_fit(head.shape, vit.card, f"{weights}: ", backbone)
    head = head.to(vit.device, DTYPES[precision])
    return Marco(vit.model, vit.card, head).eval().requires_grad_(False)


def check_fit(shape: HeadShape, card: VitCard, subject: str, backbone: Path | str) -> None:
    """Checks that a head is one for a backbone.

    Args:
        subject: the head's file for the message, with what separates it from the rest.

    Raises:
        UserError: tokens are of another width, or a block with an adapter does not exist.
    """
    advice = "give the backbone on which it was trained"
    if shape.width != card.width:
        raise UserError(
            f"{subject}it is for tokens of {shape.width} numbers, and those of {backbone} have {card.width}; "
            f"{advice}"
        )
    last = max(shape.adapters)
    if last >= card.layers:
        raise UserError(
            f"{subject}it has an adapter for block {last}, and {backbone} has blocks 0 to {card.layers - 1}; "
            f"{advice}"
        )
