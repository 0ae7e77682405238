"""Stable Diffusion's text encoder."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from baselines.networks.loading import DTYPES, load_transformer
from baselines.stable_diffusion.conditioning import Conditioning, EmptyTextPlus, Prompt, TokenEmbeddings
from baselines.token_ids import load_tokenizer


class TextEncoder:
    """The frozen text encoder of a Stable Diffusion: prompts -> states for cross-attention.

    It is loaded when the first prompt needs it.

    Args:
        folder: a pipeline as diffusers saves it.
        precision: `fp32`, `bf16` or `fp16`.
    """

    def __init__(self, folder: Path, device: str = "cpu", precision: str = "fp32") -> None:
        self.folder = folder
        self.device = torch.device(device)
        self.dtype = DTYPES[precision]
        self._states_of_text: dict[str, torch.Tensor] = {}

    def _freeze(self, model: Any) -> Any:
        return model.eval().requires_grad_(False).to(self.device)

    def load_text_encoder(self) -> None:
        """Loads encoder and tokenizer at once. Raises `UserError` where one of them cannot be."""
        _ = self.text_encoder, self.tokenizer

    @cached_property
    def text_encoder(self) -> Any:
        """CLIP's text transformer."""
        from transformers import CLIPTextModel

        return self._freeze(load_transformer(CLIPTextModel, self.folder / "text_encoder", self.dtype))

    @cached_property
    def tokenizer(self) -> Any:
        """CLIP's tokenizer."""
        return load_tokenizer(self.folder / "tokenizer")

    def text_states(self, text: str) -> torch.Tensor:
        """(77, D) last hidden states, after the final layer norm, of a text padded to 77 tokens.

        Computed once for each text.
        """
        if text not in self._states_of_text:
            with torch.no_grad():
                states = self.text_encoder(self._tokenize([text])).last_hidden_state
            self._states_of_text[text] = states[0]
        return self._states_of_text[text]

    def embedding_states(self, rows: torch.Tensor) -> torch.Tensor:
        """(n, 77, D) token embeddings -> (n, 77, D) states.

        The embeddings go through the frozen encoder, with its causal mask and final layer norm. No position
        embedding is added: rows that need one carry it. Gradients pass.
        """
        # The encoder takes nothing but token ids: the empty text goes in, and a hook puts the rows in place.
        hook = self._text_model.embeddings.register_forward_hook(
            lambda module, inputs, output: rows.to(output.dtype)
        )
        try:
            tokens = self._tokenize([""] * len(rows))
            states: torch.Tensor = self.text_encoder(tokens).last_hidden_state
        finally:
            hook.remove()
        return states

    def token_embeddings(self, text: str) -> torch.Tensor:
        """(77, D) token plus position embeddings of a text."""
        with torch.no_grad():
            embeddings: torch.Tensor = self._text_model.embeddings(self._tokenize([text]))[0]
        return embeddings

    def condition(self, prompt: Prompt) -> Conditioning:
        """Turns a prompt of any kind into an input of the U-Net."""
        if isinstance(prompt, str):
            return Conditioning(self.text_states(prompt))
        if isinstance(prompt, TokenEmbeddings):
            rows = prompt.rows.to(self.device)
            return Conditioning(self.embedding_states(rows[None])[0])
        if isinstance(prompt, EmptyTextPlus):
            # The sum is in single precision, and rounded together with the U-Net's input.
            states = self.text_states("").float() + prompt.states.to(self.device)
            return Conditioning(states, prompt.time)
        return prompt

    def conditions(self, prompts: Sequence[Prompt]) -> list[Conditioning]:
        """Turns prompts of any kinds into inputs of the U-Net; embeddings are encoded together."""
        rows = []
        for prompt in prompts:
            if isinstance(prompt, TokenEmbeddings):
                rows.append(prompt.rows.to(self.device))
        states = iter(self.embedding_states(torch.stack(rows)) if rows else ())
        conditions = []
        for prompt in prompts:
            if isinstance(prompt, TokenEmbeddings):
                conditions.append(Conditioning(next(states)))
            else:
                conditions.append(self.condition(prompt))
        return conditions

    @property
    def _text_model(self) -> Any:
        """The module with the embeddings; newer releases of transformers have it one level higher."""
        return getattr(self.text_encoder, "text_model", self.text_encoder)

    def _tokenize(self, texts: Sequence[str]) -> torch.Tensor:
        """(n, 77) token ids, on the device."""
        length = self.tokenizer.model_max_length
        ids = self.tokenizer(
            list(texts), padding="max_length", max_length=length, truncation=True, return_tensors="pt"
        ).input_ids
        tokens: torch.Tensor = ids.to(self.device)
        return tokens
