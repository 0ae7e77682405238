"""Tensors of a file that take the place of a Stable Diffusion's own U-Net (CleanDIFT)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from harness.errors import UserError
from harness.networks.tensor_files import read_tensors

WHOLE = "unet_feature_extractor_cleandift."
"""What stands before the names of the U-Net in CleanDIFT's larger file, which has its teacher, too."""

CHANGED = "changed."
"""What stands before every name in a file that holds the changed tensors of a U-Net alone."""


def tensors_of(path: Path, own: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Reads the tensors of a U-Net, in diffusers' names.

    Args:
        path: the U-Net's tensors; or with more, those of the U-Net behind `WHOLE`; or some of them, all
            behind `CHANGED`, where the others stay as they are.
        own: the tensors of the U-Net whose place they take.

    Raises:
        UserError: one line: the file cannot be read, or changes a tensor that the U-Net does not have, or
            one of another shape.
    """
    tensors = read_tensors(path)
    whole = _below(tensors, WHOLE)
    if whole:
        return whole
    changed = _below(tensors, CHANGED)
    if len(changed) < len(tensors):
        return tensors
    for name, tensor in changed.items():
        if name not in own or own[name].shape != tensor.shape:
            raise UserError(
                f"{path}: changes {name} of shape {tuple(tensor.shape)}, which the U-Net beside it does not "
                "have; give the Stable Diffusion that it was made for"
            )
    return {**own, **changed}


def _below(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
