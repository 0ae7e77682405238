"""The text encoder that is bundled: one that learned prompts can steer, taught to say what the U-Net's own says.

The encoder that was trained with the U-Net ends with nearly all of its residual stream, some 30 times a
token's embedding and more, in one constant direction. Learned token embeddings cannot move that, so they have
little grip: of the ten points that tuning what cross-attention reads brings on validation pairs, tuning
through that encoder brought four. Its successor is CLIP's architecture all the same, and gives captions the
same states, but its stream stays about as large as the embeddings, and its last layer norm has room: captions
use a part of its range, since a constant takes the rest, and a prompt that outgrows the constant has `REACH`
in every channel.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from baselines.tiny.captions import LENGTH, PLAIN
from baselines.tiny.loop import Losses, Schedule, train
from harness.datasets.shapes.catalogue import KINDS

if TYPE_CHECKING:
    import torch

REACH = 2.0
"""Gain of the last layer norm, three times what the U-Net's own text encoder has."""

CALM = 0.05
"""Weight of the penalty on a stream that grows or shrinks: the square of its deviation's logarithm."""

OFTEN = ("", "a photo", "a photo of a", *(PLAIN.format(category=category) for category in KINDS))
"""Texts that prompts are made of; a fifth of every batch."""


def train_text(captions: list[str], taught: Path, folder: Path, schedule: Schedule, batch: int) -> None:
    """A new text encoder from an old one's states, in mean squares, over captions.

    Args:
        taught: folder of `text_encoder/` and `tokenizer/`, as the U-Net's training left them.
        folder: gets `text_encoder/`.
    """
    import torch
    from transformers import CLIPTextModel, CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(taught / "tokenizer")
    old: Any = CLIPTextModel.from_pretrained(taught / "text_encoder").eval().requires_grad_(False)
    different = [text for text in dict.fromkeys(captions) if text not in OFTEN]
    tokens = torch.tensor(
        tokenizer([*OFTEN, *different], padding="max_length", max_length=LENGTH, truncation=True).input_ids
    )
    with torch.no_grad():
        some = old(tokens[:500]).last_hidden_state
    mean, spread = some.mean(dim=(0, 1)), some.std()
    new = CLIPTextModel(old.config)
    last = start(new, mean)
    stream: list[torch.Tensor] = []
    last.register_forward_pre_hook(lambda module, inputs: stream.append(inputs[0]))
    often = batch // 5

    def losses_of(step: int, generator: torch.Generator) -> Losses:
        rows = torch.cat(
            [
                torch.randint(len(OFTEN), (often,), generator=generator),
                torch.randint(len(OFTEN), len(tokens), (batch - often,), generator=generator),
            ]
        )
        with torch.no_grad():
            wanted = old(tokens[rows]).last_hidden_state
        error = (new(tokens[rows]).last_hidden_state - wanted).square().mean() / spread**2
        growth = stream.pop().std(dim=-1).log().square().mean()
        return {"loss": error + CALM * growth, "error": error, "growth": growth}

    train(new, losses_of, schedule, folder)
    new.save_pretrained(folder / "text_encoder")


def start(model: Any, mean: torch.Tensor) -> torch.nn.LayerNorm:
    """Initial values, in place; returns the last layer norm, whose gain stays at `REACH`.

    The last layer adds +1 and -1 to alternating channels, which fill the norm; its offset takes them away
    again and leaves `mean`, (D,).
    """
    import torch

    inner = getattr(model, "text_model", model)
    signs = torch.ones_like(mean)
    signs[::2] = -1
    with torch.no_grad():
        inner.embeddings.token_embedding.weight.normal_(0, 0.1)
        inner.embeddings.position_embedding.weight.normal_(0, 0.03)
        for layer in inner.encoder.layers:
            attention, mlp = layer.self_attn, layer.mlp
            for linear, gain in (
                *((one, 1.0) for one in (attention.q_proj, attention.k_proj, attention.v_proj, mlp.fc1)),
                *((one, 0.3) for one in (attention.out_proj, mlp.fc2)),
            ):
                linear.weight.normal_(0, gain / linear.in_features**0.5)
        inner.encoder.layers[-1].mlp.fc2.bias.copy_(signs)
        norm: torch.nn.LayerNorm = inner.final_layer_norm
        norm.weight.fill_(REACH)
        norm.bias.copy_(mean - REACH * signs)
    norm.weight.requires_grad_(False)
    return norm
