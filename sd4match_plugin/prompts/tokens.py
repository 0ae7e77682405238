"""Learned rows as token embeddings: the rows around them in a prompt, and random rows to start from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from baselines.stable_diffusion.text_encoder import TextEncoder

LENGTH = 77
"""Rows of a prompt that CLIP's text encoder reads."""

LEARNED = LENGTH - 2
"""Rows that can be learned: all but the start and the end token."""


@dataclass(frozen=True, eq=False)
class Boundaries:
    """Rows that surround learned rows, read from a text encoder. In float32, on the encoder's device.

    Attributes:
        start, end: (D,) embeddings of the tokens that begin and end a text, without position.
        padding: (D,) embedding of token 0, with which the release fills the rest, whatever the tokenizer's
            padding is.
        positions: (77, D) position embeddings.
    """

    start: Tensor
    end: Tensor
    padding: Tensor
    positions: Tensor

    @classmethod
    def of(cls, backbone: TextEncoder) -> Boundaries:
        """Reads them from a backbone's text encoder."""
        tokens, positions = _tables(backbone)
        tokenizer = backbone.tokenizer
        return cls(tokens[tokenizer.bos_token_id], tokens[tokenizer.eos_token_id], tokens[0], positions)


def assemble(rows: Tensor, boundaries: Boundaries) -> Tensor:
    """Completes learned rows (B, N, D) to whole prompts (B, 77, D) for `TextEncoder.embedding_states`;
    differentiable.

    [start + position 0 | the rows as they are | end + position N + 1 | token 0 + its position, up to 77], in
    the rows' precision and on their device (SD4Match's release; paper, section 4.1, where N is 75).

    Raises:
        ValueError: more than 75 rows.
    """
    batch, count, _ = rows.shape
    if count > LEARNED:
        raise ValueError(f"a prompt holds at most {LEARNED} learned rows, not {count}")
    positions = boundaries.positions.to(rows)
    start = boundaries.start.to(rows) + positions[0]
    end = boundaries.end.to(rows) + positions[count + 1]
    padding = boundaries.padding.to(rows) + positions[count + 2 :]
    before, after = start[None], torch.cat([end[None], padding])
    return torch.cat([before.expand(batch, -1, -1), rows, after.expand(batch, -1, -1)], dim=1)


def random_rows(backbone: TextEncoder, count: int, generator: torch.Generator) -> Tensor:
    """Draws the rows that the release starts learning from (Single, Class): `count` random tokens of the
    vocabulary with positions 1, 2, ... -> (count, D).

    In float32, on the backbone's device. The same generator state gives the same tokens on every device if
    the generator is the CPU's.
    """
    tokens, positions = _tables(backbone)
    numbers = torch.randint(len(tokens), (count,), generator=generator, device=generator.device)
    return tokens[numbers.to(tokens.device)] + positions[1 : count + 1]


def _tables(backbone: TextEncoder) -> tuple[Tensor, Tensor]:
    """Token embeddings (vocabulary, D) and position embeddings (77, D)."""
    embeddings: Any = getattr(backbone.text_encoder, "text_model", backbone.text_encoder).embeddings
    tokens: Tensor = embeddings.token_embedding.weight.detach()
    positions: Tensor = embeddings.position_embedding.weight.detach()
    return tokens.float(), positions.float()
