"""Kinds of prompts that condition the U-Net."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from harness.specs import ImageRequest


@dataclass(frozen=True, eq=False)
class Conditioning:
    """Input of the U-Net besides the latents, for one image.

    Attributes:
        states: (77, D) read by cross-attention.
        time: (T,) added to the embedding of the timestep, or None.
    """

    states: torch.Tensor
    time: torch.Tensor | None = None


@dataclass(frozen=True, eq=False)
class TokenEmbeddings:
    """(77, D) rows that replace CLIP's token and position embeddings in the frozen text encoder."""

    rows: torch.Tensor


@dataclass(frozen=True, eq=False)
class PairEmbeddings(TokenEmbeddings):
    """The same, made from a pair of pictures.

    Attributes:
        alone: picture -> its prompt as both pictures of a pair, which no other picture has a part in.
    """

    alone: Callable[[ImageRequest], TokenEmbeddings]


@dataclass(frozen=True, eq=False)
class EmptyTextPlus:
    """(77, D) to add to the states of the empty text, and (T,) to add to the embedding of the timestep."""

    states: torch.Tensor
    time: torch.Tensor | None = None


Prompt = str | TokenEmbeddings | EmptyTextPlus | Conditioning
"""A prompt for one image; a string is text."""


def prompt_key(prompt: Prompt | None) -> str:
    """A key that differs where prompts differ in content: a text itself, and a hash of anything else."""
    if prompt is None or isinstance(prompt, str):
        return prompt or ""
    # With the kind, since equal numbers mean something else in prompts of another kind.
    digest = hashlib.sha256(type(prompt).__name__.encode())
    for value in vars(prompt).values():
        if value is None:
            digest.update(b"none")
        elif isinstance(value, torch.Tensor):
            digest.update(value.detach().float().cpu().numpy().tobytes())
    return digest.hexdigest()


@contextmanager
def shift_timestep_embedding(unet: Any, prompts: Sequence[Conditioning]) -> Iterator[None]:
    """Adds the prompts' `time` to the U-Net's embedding of the timestep; zero for prompts without it."""
    if all(prompt.time is None for prompt in prompts):
        yield
        return
    embedding = unet.time_embedding
    weight = embedding.linear_2.weight
    rows = []
    for prompt in prompts:
        if prompt.time is None:
            rows.append(torch.zeros(len(weight)))
        else:
            rows.append(prompt.time.cpu())
    shift = torch.stack(rows).to(weight.device, weight.dtype)
    hook = embedding.register_forward_hook(lambda module, inputs, output: output + shift)
    try:
        yield
    finally:
        hook.remove()
