"""The bundled text encoder, which learned prompts can steer.

It was trained to give captions the states of the U-Net's own encoder.

The encoder that was trained with the U-Net ends with nearly all of its residual stream, some 30 times a
token's embedding and more, in one constant direction. Learned token embeddings cannot move that, so they have
little effect: on validation pairs, tuning the states that cross-attention reads brings ten points, and tuning
through that encoder brought four. Its successor has CLIP's architecture, too, and gives captions the same
states. But its stream stays about as large as the embeddings, and its last layer norm has room: captions use
a part of its range, since a constant takes the rest, and a prompt that outgrows the constant has `REACH` in
every channel.
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


def train_text(
    captions: list[str],
    teacher_folder: Path,
    folder: Path,
    schedule: Schedule,
    batch: int,
) -> None:
    """Trains a new text encoder to give captions the states of an old one, in mean squares.

    Args:
        teacher_folder: folder of `text_encoder/` and `tokenizer/`, as the U-Net's training left them.
        folder: gets `text_encoder/`.
    """
    import torch
    from transformers import CLIPTextModel, CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(teacher_folder / "tokenizer")
    teacher: Any = CLIPTextModel.from_pretrained(teacher_folder / "text_encoder")
    teacher = teacher.eval().requires_grad_(False)
    # Each text once, the frequent ones first.
    texts = list(dict.fromkeys([*OFTEN, *captions]))
    token_ids = tokenizer(texts, padding="max_length", max_length=LENGTH, truncation=True).input_ids
    tokens = torch.tensor(token_ids)
    with torch.no_grad():
        sample = teacher(tokens[:500]).last_hidden_state
    mean = sample.mean(dim=(0, 1))
    spread = sample.std()
    student = CLIPTextModel(teacher.config)
    last_norm = initialize(student, mean)
    # The input of the last norm is the residual stream behind all layers.
    stream: list[torch.Tensor] = []
    last_norm.register_forward_pre_hook(lambda module, inputs: stream.append(inputs[0]))
    often = batch // 5

    def losses_of(step: int, generator: torch.Generator) -> Losses:
        common = torch.randint(len(OFTEN), (often,), generator=generator)
        others = torch.randint(len(OFTEN), len(tokens), (batch - often,), generator=generator)
        rows = torch.cat([common, others])
        with torch.no_grad():
            target = teacher(tokens[rows]).last_hidden_state
        states = student(tokens[rows]).last_hidden_state
        error = (states - target).square().mean() / spread**2
        # 0 for a stream of deviation 1, and as much for half of that as for twice.
        deviations = stream.pop().std(dim=-1)
        growth = deviations.log().square().mean()
        return {"loss": error + CALM * growth, "error": error, "growth": growth}

    train(student, losses_of, schedule, folder)
    student.save_pretrained(folder / "text_encoder")


def initialize(model: Any, mean: torch.Tensor) -> torch.nn.LayerNorm:
    """Sets initial values in place; returns the last layer norm, whose gain stays at `REACH`.

    The last layer adds +1 and -1 to alternating channels, which fill the norm; its offset takes them away
    again and leaves `mean`, (D,).
    """
    import torch

    inner = getattr(model, "text_model", model)
    signs = torch.ones_like(mean)
    signs[::2] = -1
    with torch.no_grad():
        # Small beside the constant that the last layer adds, which a learned prompt can outgrow.
        inner.embeddings.token_embedding.weight.normal_(0, 0.1)
        inner.embeddings.position_embedding.weight.normal_(0, 0.03)
        for layer in inner.encoder.layers:
            attention, mlp = layer.self_attn, layer.mlp
            for linear in (attention.q_proj, attention.k_proj, attention.v_proj, mlp.fc1):
                linear.weight.normal_(0, 1.0 / linear.in_features**0.5)
            for linear in (attention.out_proj, mlp.fc2):
                linear.weight.normal_(0, 0.3 / linear.in_features**0.5)
        inner.encoder.layers[-1].mlp.fc2.bias.copy_(signs)
        norm: torch.nn.LayerNorm = inner.final_layer_norm
        norm.weight.fill_(REACH)
        norm.bias.copy_(mean - REACH * signs)
    # Training sees captions alone, which need less than this range.
    norm.weight.requires_grad_(False)
    return norm
