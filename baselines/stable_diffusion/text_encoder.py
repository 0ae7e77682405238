"""Stable Diffusion's text encoder."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from baselines.networks.loading import DTYPES, _loading
from baselines.stable_diffusion.conditioning import Conditioning, EmptyTextPlus, Prompt, TokenEmbeddings


class TextEncoder:
    """The frozen text encoder of a Stable Diffusion: prompts -> what cross-attention reads. Loaded when a prompt needs it.

    Args:
        folder: a pipeline as diffusers saves it.
        precision: `fp32`, `bf16` or `fp16`.
    """

    def __init__(self, folder: Path, device: str = "cpu", precision: str = "fp32") -> None:
        self.folder, self.device, self.dtype = folder, torch.device(device), DTYPES[precision]
        self._texts: dict[str, torch.Tensor] = {}

    def _frozen(self, model: Any) -> Any:
        return model.eval().requires_grad_(False).to(self.device)

    @cached_property
    def text_encoder(self) -> Any:
        """CLIP's text transformer."""
        from transformers import CLIPTextModel

        with _loading(self.folder):
            return self._frozen(
                CLIPTextModel.from_pretrained(
                    self.folder / "text_encoder", dtype=self.dtype, use_safetensors=True
                )
            )

    @cached_property
    def tokenizer(self) -> Any:
        """CLIP's tokenizer."""
        from transformers import CLIPTokenizer

        with _loading(self.folder):
            return CLIPTokenizer.from_pretrained(self.folder / "tokenizer")

    def text_states(self, text: str) -> torch.Tensor:
        """(77, D) last hidden states, after the final layer norm, of a text padded to 77 tokens; computed once for each text."""
        if text not in self._texts:
            with torch.no_grad():
                self._texts[text] = self.text_encoder(self._tokens([text])).last_hidden_state[0]
        return self._texts[text]

    def embedding_states(self, rows: torch.Tensor) -> torch.Tensor:
        """(n, 77, D) token embeddings -> (n, 77, D) states: through the frozen encoder, with its causal mask and final layer norm.

        No position embedding is added: rows that need one carry it. Gradients pass.
        """
        inner = getattr(self.text_encoder, "text_model", self.text_encoder)
        hook = inner.embeddings.register_forward_hook(lambda module, inputs, output: rows.to(output.dtype))
        try:
            states: torch.Tensor = self.text_encoder(self._tokens([""] * len(rows))).last_hidden_state
        finally:
            hook.remove()
        return states

    def token_embeddings(self, text: str) -> torch.Tensor:
        """(77, D) token plus position embeddings of a text."""
        inner = getattr(self.text_encoder, "text_model", self.text_encoder)
        with torch.no_grad():
            embedded: torch.Tensor = inner.embeddings(self._tokens([text]))[0]
        return embedded

    def condition(self, prompt: Prompt) -> Conditioning:
        """Any kind of prompt -> what the U-Net reads."""
        if isinstance(prompt, str):
            return Conditioning(self.text_states(prompt))
        if isinstance(prompt, TokenEmbeddings):
            return Conditioning(self.embedding_states(prompt.rows.to(self.device)[None])[0])
        if isinstance(prompt, EmptyTextPlus):
            return Conditioning(self.text_states("").float() + prompt.states.to(self.device), prompt.time)
        return prompt

    def conditions(self, prompts: Sequence[Prompt]) -> list[Conditioning]:
        """Prompts of any kinds -> what the U-Net reads; rows of embeddings go through the encoder together."""
        rows = [prompt.rows.to(self.device) for prompt in prompts if isinstance(prompt, TokenEmbeddings)]
        states = iter(self.embedding_states(torch.stack(rows)) if rows else ())
        return [
            Conditioning(next(states)) if isinstance(prompt, TokenEmbeddings) else self.condition(prompt)
            for prompt in prompts
        ]

    def _tokens(self, texts: Sequence[str]) -> torch.Tensor:
        length = self.tokenizer.model_max_length
        ids = self.tokenizer(
            list(texts), padding="max_length", max_length=length, truncation=True, return_tensors="pt"
        ).input_ids
        moved: torch.Tensor = ids.to(self.device)
        return moved
