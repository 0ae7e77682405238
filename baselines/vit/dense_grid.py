"""Overlapping patches of a vision transformer, which begin every few pixels (dino-vit-features).

The patch convolution gets the smaller stride, and every patch of the denser grid gets a position. DINOv1 and
DINOv2 learned a square of positions, which is interpolated (`baselines.vit.positions`); DINOv3 rotates
queries and keys by the patch's centre.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from baselines.vit.card import VitCard


@contextmanager
def dense_patches(model: Any, card: VitCard, height: int, width: int, stride: int) -> Iterator[None]:
    """Gives the model, for a time, patches that begin every `stride` pixels of images of one size.

    Args:
        model: of transformers, of the card's architecture.
        height, width: of the images, in pixels.
        stride: a divisor of the patch; nothing changes where it is the patch itself.
    """
    if stride == card.patch:
        yield
        return
    modules = model.embeddings.modules()
    convolution = next(module for module in modules if isinstance(module, torch.nn.Conv2d))
    convolution.stride = (stride, stride)
    try:
        # Learned positions follow the convolution's stride by themselves.
        if card.has_learned_positions:
            yield
        else:
            with rotate_positions(model, card, height, width, stride):
                yield
    finally:
        convolution.stride = (card.patch, card.patch)


@contextmanager
def rotate_positions(model: Any, card: VitCard, height: int, width: int, stride: int) -> Iterator[None]:
    """Rotates by the positions of the denser grid's patch centres (DINOv3, section 3.2).

    The image's edges lie at -1 and 1.
    """
    angles = _rotary_angles(model, card, height, width, stride)

    def replace_output(module: Any, inputs: Any, output: Any) -> tuple[torch.Tensor, torch.Tensor]:
        cosines, sines = output
        return angles.cos().to(cosines.dtype), angles.sin().to(sines.dtype)

    hook = model.rope_embeddings.register_forward_hook(replace_output)
    try:
        yield
    finally:
        hook.remove()


def _rotary_angles(model: Any, card: VitCard, height: int, width: int, stride: int) -> torch.Tensor:
    """(patches, head width) angles.

    They are y times every frequency, x times every frequency, and both again for the other half.
    """
    frequencies: torch.Tensor = model.rope_embeddings.inv_freq
    centres = []
    counts = card.grid_size(height, width, stride)
    for count, side in zip(counts, (height, width), strict=True):
        pixels = torch.arange(count, device=frequencies.device) * stride + card.patch / 2
        centres.append(2 * pixels / side - 1)
    grid = torch.meshgrid(*centres, indexing="ij")
    coordinates = torch.stack(grid, dim=-1).flatten(0, 1)
    angles = 2 * math.pi * coordinates[:, :, None] * frequencies
    # The rotation pairs channel i with channel i + half of a head's width, at one angle.
    return angles.flatten(1).tile(2)
