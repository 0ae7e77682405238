"""Kinds of prompts that condition the U-Net."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch


@dataclass(frozen=True, eq=False)
class Conditioning:
    """What the U-Net is conditioned on, for one image.

    Attributes:
        states: (77, D) what cross-attention reads.
        time: (T,) added to the embedding of the timestep, or None.
    """

    states: torch.Tensor
    time: torch.Tensor | None = None


@dataclass(frozen=True, eq=False)
class TokenEmbeddings:
    """(77, D) rows that take the place of CLIP's token and position embeddings and go through the frozen text encoder."""

    rows: torch.Tensor


@dataclass(frozen=True, eq=False)
class EmptyTextPlus:
    """(77, D) to add to the states of the empty text, and (T,) to add to the embedding of the timestep."""

    states: torch.Tensor
    time: torch.Tensor | None = None


Prompt = str | TokenEmbeddings | EmptyTextPlus | Conditioning
"""A prompt for one image; a string is text."""


def prompt_key(prompt: Prompt | None) -> str:
    """What tells prompts apart by their content: a text itself, and a hash of anything else."""
    if prompt is None or isinstance(prompt, str):
        return prompt or ""
    digest = hashlib.sha256(type(prompt).__name__.encode())
    for value in vars(prompt).values():
        digest.update(b"none" if value is None else value.detach().float().cpu().numpy().tobytes())
    return digest.hexdigest()
